"""What comes of whole runs: the zoo, the bundled prior, the LoRA."""
