"""Compiled code for a CPU: products of quantized matrices, the step that reads tokens when a GPT
generates, and what training computes between its matrices.

`build.py` compiles it for a level of instruction sets, `library.py` loads the best level that this
processor has. `matrix.py`, `training.py` and `generation/decoder.py` call it.
"""
