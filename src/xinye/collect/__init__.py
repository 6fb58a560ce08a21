"""Collecting text from files of many kinds."""
