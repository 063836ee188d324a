"""Models as files: found on disk or the Hugging Face Hub, checked before anything is loaded."""
