"""Models on disk: the formats of Hugging Face, GGUF, ONNX and adapters, and the checkpoints of a
run."""
