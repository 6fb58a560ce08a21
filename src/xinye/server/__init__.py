"""The OpenAI-compatible HTTP API and the web page. It only translates requests for the other
modules.
"""
