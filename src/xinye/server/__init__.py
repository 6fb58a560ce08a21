"""The OpenAI-compatible HTTP API and the web page: it only translates requests."""
