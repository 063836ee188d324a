"""Model files on disk and on the Hugging Face Hub, checked before anything is loaded."""
