"""What a task is: its records, how they become tokens and labels, its metric and its baseline."""
