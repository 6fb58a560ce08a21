"""`xinye monitor serve`: the board of a monitor, and its HTTP API."""
