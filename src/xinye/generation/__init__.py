"""Text generation: sampling, the key-value cache, streaming, chat."""
