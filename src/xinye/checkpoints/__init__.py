"""Models and runs on disk: Hugging Face's folder, and what going on needs."""
