"""Checking data before it is trained on."""
