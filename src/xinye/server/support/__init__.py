"""`xinye support serve`: customers talk to the bot of a desk, and operators to customers."""
