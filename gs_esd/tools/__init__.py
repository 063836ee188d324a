"""Programs beside training: the doctor, and what trained the networks of this package."""
