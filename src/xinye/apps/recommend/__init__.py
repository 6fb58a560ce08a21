"""Recommendations that use what users did a moment ago, and items that were added a moment ago."""
