"""Histories of users in, ranked items out."""
