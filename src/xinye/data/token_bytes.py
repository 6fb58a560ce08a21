"""The bytes that each token of a vocabulary stands for."""

import re

import tokenizers

from xinye.data.tokenizer_training import CHARACTERS
from xinye.data.tool_calls import MARKS

_BYTE_OF = {character: byte for byte, character in enumerate(CHARACTERS)}


def bytes_of_tokens(backend: tokenizers.Tokenizer, byte_level: bool) -> dict[int, bytes]:
    """The bytes of each token, by id. Control tokens have none, except those around calls of tools:
    without these marks a call could not be read. `byte_level` tells the two kinds of vocabularies
    apart: GPT-2's, and SentencePiece's.
    """
    found = {}
    added = {token.content: token.special for token in backend.get_added_tokens_decoder().values()}
    piece_bytes = _bytes_of_characters if byte_level else _bytes_of_piece
    for token, index in backend.get_vocab().items():
        if token not in added:
            found[index] = piece_bytes(token)
        elif not added[token] or token in MARKS:
            found[index] = token.encode()
    return found


def _bytes_of_characters(token: str) -> bytes:
    """The bytes of a token of a byte-level vocabulary."""
    try:
        return bytes(_BYTE_OF[character] for character in token)
    except KeyError:
        return token.encode()


def _bytes_of_piece(token: str) -> bytes:
    """The bytes of a SentencePiece token: `▁` is a space, `<0xAB>` a byte."""
    if re.fullmatch(r"<0x[0-9A-F]{2}>", token):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()
