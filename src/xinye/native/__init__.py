"""Compiled code: the products of quantized matrices, and the decoder of a GPT on a CPU.

`build.py` compiles it for a level of instruction sets, `library.py` loads the best level that this
processor has, `matrix.py` calls it. The step of the decoder is called in `generation/decoder.py`.
"""
