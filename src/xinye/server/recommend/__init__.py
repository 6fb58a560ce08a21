"""`xinye recommend RUN --serve`: recommendations over HTTP, and a page to try them."""
