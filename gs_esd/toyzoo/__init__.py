"""The toy zoo: procedural animals, ray traced, as a closed-form stand-in for an image prior."""
