"""A tokenizer's twin that a task may change: what is changed is saved with the run's own
tokenizer."""

from copy import copy

import tokenizers

from xinye.data.tokenizer import Tokenizer


def altered(tokenizer: Tokenizer) -> Tokenizer:
    """A copy whose backend can be changed."""
    changed = copy(tokenizer)
    for cached in ("fingerprint", "_template_backend"):
        changed.__dict__.pop(cached, None)
    changed.backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    changed.backend.encode_special_tokens = True  # text is text; the files do not keep this
    return changed
