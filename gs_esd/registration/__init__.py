"""Which camera took each photograph: search, cameras as parameters, photometric fit, verdict."""
