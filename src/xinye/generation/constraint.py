"""Constraints on a text: JSON that follows a schema, a regular expression, one of several choices,
or calls of tools. The library llguidance keeps track of the grammar.

The grammar works on bytes. So it works with any tokenizer of Xinye, and a character of several
tokens is always completed.
"""

import json
import math
import re
from collections import deque
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from torch import Tensor

from xinye.data.tokenizer import Tokenizer
from xinye.data.tool_calls import MARKS
from xinye.errors import XinyeError
from xinye.generation.json_schemas import joins, objects, with_bounds
from xinye.generation.sampling import Sampling, Schema, ToolSampling
from xinye.generation.tool_calls import grammar_of_calls

LONGEST = 50_000  # characters of a schema, a regular expression, or all choices
MOST_MULTIPLE = 10_000  # each remainder of a division by multipleOf is a state of the grammar
# patterns that may all have to match one string; each can triple the number of states
MOST_PATTERNS = 12
# how the library begins a message about a JSON schema within a grammar
IN_LINE = re.compile(r"at (\d+)\(\d+\): failed to compile JSON schema: ")
# Limits that keep a grammar to tenths of a second and tens of megabytes. The library's own limits
# allow seconds.
LIMITS = LLParserLimits(
    initial_lexer_fuel=200_000,
    step_lexer_fuel=100_000,
    step_max_items=20_000,
    max_lexer_states=20_000,
    max_grammar_size=50_000,
    verbose_errors=False,
)
# The style of JSON that Python writes. With free white space a small model may write nothing else.
JSON_STYLE: Any = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": False,
}


class Constraint:
    """The state of one text in its grammar."""

    def __init__(self, matcher: LLMatcher, tokenizer: Tokenizer, sampling: Sampling) -> None:
        self._matcher, self._size, self._min_tokens = (
            matcher,
            tokenizer.vocab_size,
            sampling.min_tokens,
        )
        self._stop_ids, self._accepted = [*tokenizer.stop_ids], 0
        self._allowed: Tensor | None = None  # the result of `allowed` until the next token
        self._forced: deque[int] = deque()  # tokens that `forced` found and the text has not yet

    def allowed(self) -> Tensor:
        """Which tokens may come next, (V,) of bool. A token that ends the text is allowed only if
        the text is complete.

        Before `min_tokens` no token that ends the text is allowed, unless nothing else is possible.
        Raises `XinyeError` if no token is allowed.
        """
        if self._allowed is not None:
            return self._allowed
        mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        bits = np.unpackbits(mask, count=self._size, bitorder="little")
        result = torch.from_numpy(bits).bool()
        if self._accepted < self._min_tokens:
            longer = result.index_fill(0, torch.tensor(self._stop_ids), False)
            result = longer if bool(longer.any()) else result
        # In a dead end the library reports an error, but allows the end of the text.
        if self._matcher.is_error() or not bool(result.any()):
            raise XinyeError(
                f"no token satisfies the constraint here: {_reason(self._matcher.get_error())}"
            )
        self._allowed = result
        return result

    def accept(self, token: int) -> None:
        """Advance by a token, which must be an allowed one."""
        self._accepted, self._allowed = self._accepted + 1, None
        if self._forced and self._forced.popleft() != token:
            self._forced.clear()
        if token not in self._stop_ids:
            self._matcher.consume_token(token)

    def forced(self, count: int) -> list[int]:
        """The next tokens, `count` at most, where only one text can follow and so no other tokens
        are allowed; empty where there is a choice."""
        if not self._forced:
            self._forced.extend(self._matcher.compute_ff_tokens())
        return [*islice(self._forced, count)]

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing can follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()


def constraint_for(tokenizer: Tokenizer, sampling: Sampling) -> Constraint | None:
    """The constraint that the sampling asks for, at the beginning of a text; None if there is none.

    Raises `XinyeError` for a schema or regular expression that is invalid, too large, or that no
    text can satisfy.
    """
    grammar = _grammar(sampling)
    if grammar is None:
        return None
    name, text = grammar
    try:
        matcher = _compiled(tokenizer, text)
    except ValueError as error:
        message = str(error)
        line = IN_LINE.match(message)
        if line and isinstance(sampling, ToolSampling):
            tool = [*sampling.tools.schemas][int(line[1]) - 1]
            name += f": the parameters of {tool}"
        raise XinyeError(f"{name}: {_reason(IN_LINE.sub('', message))}") from None
    return Constraint(matcher.deep_copy(), tokenizer, sampling)


def _grammar(sampling: Sampling) -> tuple[str, str] | None:
    """The name of the setting and its grammar for llguidance; None without a constraint."""
    if sampling.json_schema is not None:
        return "json_schema", _grammar_of_json("json_schema", sampling.json_schema)
    if isinstance(sampling, ToolSampling):
        schemas = [*sampling.tools.schemas.values()]
        _grammar_of_json("tools", {"anyOf": schemas})  # checks all of them together
        return "tools", grammar_of_calls(sampling.tools, JSON_STYLE)
    if sampling.regex is not None:
        _check_length("regex", len(sampling.regex))
        return "regex", LLMatcher.grammar_from_regex(sampling.regex)
    if sampling.choices is not None:
        _check_length("choices", sum(map(len, sampling.choices)))
        words = " | ".join(json.dumps(choice, ensure_ascii=False) for choice in sampling.choices)
        return "choices", LLMatcher.grammar_from_lark(f"start: {words}")
    return None


def _grammar_of_json(name: str, schema: Schema) -> str:
    """The grammar of JSON that follows a schema. Raises `XinyeError` if the schema is no JSON, or
    if its grammar would be too large.
    """
    try:
        text = json.dumps(schema, allow_nan=False)
        _check_length(name, len(text))
        parts = [*objects(schema)]
        bounded = json.dumps(with_bounds(schema))
        grammar = LLMatcher.grammar_from_json_schema(bounded, overrides=JSON_STYLE)
    except (ValueError, TypeError, RecursionError) as error:
        raise XinyeError(
            f"{name}: not JSON, or nested too deeply ({_reason(str(error))})"
        ) from None
    if math.prod({_digits(each.get("multipleOf")) for each in parts}) > MOST_MULTIPLE:
        raise XinyeError(f"{name}: multipleOf beyond {MOST_MULTIPLE:,} is too large")
    patterns = [word for each in parts for word in ("pattern", "format") if word in each]
    if len(patterns) > MOST_PATTERNS and any(map(joins, parts)):
        raise XinyeError(
            f"{name}: a schema with allOf, or with keys beside $ref, may have at most "
            f"{MOST_PATTERNS} patterns"
        )
    return grammar


@lru_cache(maxsize=16)
def _compiled(tokenizer: Tokenizer, grammar: str) -> LLMatcher:
    """A matcher at the beginning of this grammar; callers copy it. Raises `ValueError` with the
    library's message."""
    matcher = LLMatcher(_tokens(tokenizer), grammar, log_level=0, limits=LIMITS)
    matcher.compute_bitmask()
    if matcher.is_error():
        raise ValueError(matcher.get_error())
    return matcher


@lru_cache(maxsize=4)
def _tokens(tokenizer: Tokenizer) -> LLTokenizer:
    described: Any = _Described(tokenizer)
    return LLTokenizer(described, tokenizer.vocab_size, sorted(tokenizer.stop_ids))


class _Described:
    """A tokenizer with the interface that llguidance expects. Tokens without bytes are control
    tokens."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokens, self.encode, self.leading_space = (
            tokenizer.token_bytes,
            tokenizer.encode,
            tokenizer.leading_space,
        )
        self.eos_token_id, self.bos_token_id = tokenizer.eos_id, tokenizer.bos_id
        self.special_token_ids = [index for index, piece in enumerate(self.tokens) if not piece]
        known = ((mark, tokenizer.backend.token_to_id(mark)) for mark in MARKS)
        self._marks = {mark: token for mark, token in known if token is not None}
        self._parts = re.compile("|".join(map(re.escape, self._marks)) or "(?!)")

    def __call__(self, text: str) -> list[int]:
        """The tokens of a text that continues another text. Where only this text can follow, no
        other tokens are allowed, so the marks of calls are single tokens if the model has them."""
        tokens, end = list[int](), 0
        for mark in self._parts.finditer(text):
            tokens += [*self._plain(text[end : mark.start()]), self._marks[mark[0]]]
            end = mark.end()
        return tokens + self._plain(text[end:])

    def _plain(self, text: str) -> list[int]:
        """The tokens of a text without marks, without the space that some tokenizers put at a
        beginning."""
        tokens = self.encode("\n" + text if self.leading_space else text)
        if self.leading_space:
            tokens = tokens[
                1 + next(i for i, token in enumerate(tokens) if b"\n" in self.tokens[token]) :
            ]
        whole = b"".join(self.tokens[token] for token in tokens) == text.encode()
        return tokens if whole else [self.tokens.index(bytes([byte])) for byte in text.encode()]


def _check_length(name: str, length: int) -> None:
    if length > LONGEST:
        raise XinyeError(f"{name}: {length:,} characters are too many; at most {LONGEST:,} fit")


def _reason(message: str) -> str:
    """The first error in llguidance's message, in one line."""
    if "coerce_one_of" in message:
        return "oneOf is not supported where several of its schemas could hold; use anyOf"
    if "Too many items" in message:
        return "it is too complex, or a part of it never ends"
    if message.startswith("NoExtension"):
        return "no text can satisfy it"
    found = re.search(r"error: (.+)", message) or re.search(r"\(in regex\): (.+)", message)
    lines = message.replace("<non-verbose/>", "").split("\n")
    return (found[1] if found else " ".join(lines[0].split()) or "too complex")[:200]


def _digits(number: Any) -> int:
    """The digits of a number without the decimal point: 25 for 0.25. It is 1 for anything else."""
    return (
        int("".join(map(str, Decimal(str(number)).as_tuple().digits)))
        if type(number) in (int, float)
        else 1
    )
