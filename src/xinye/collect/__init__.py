"""Collects text from files of many formats."""
