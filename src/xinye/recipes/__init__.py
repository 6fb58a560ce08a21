"""One readable file per job, from top to bottom; plan.py derives the settings."""
