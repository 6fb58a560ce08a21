"""Tasks: how each reads records, turns them into tokens and targets, and measures and compares
results.
"""
