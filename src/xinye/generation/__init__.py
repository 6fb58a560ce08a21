"""From a prompt to text: sampling, the key-value cache, streaming."""
