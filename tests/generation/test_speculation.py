"""Guessing changes how many steps a text takes, and nothing else; a draft that does not fit is one
clear line."""

from dataclasses import replace

import pytest
import torch

import random_models
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.generation.cache import BlockCache
from xinye.generation.engine import Engine, start
from xinye.generation.sampling import Sampling
from xinye.generation.scheduler import Scheduler
from xinye.generation.sequence import Sequence
from xinye.generation.speculation import Speculation, speculate
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT

TOKENIZER = Tokenizer.train([], kind="bytes")
V, CONTEXT = TOKENIZER.vocab_size, 96
SMALL = GPTConfig("modern", V, 24, 2, 4, 2, 8, 40, CONTEXT, False)
DRAFTS = {"looked up": None, "by a draft": 0.02, "by a poor draft": 2.0}


def random_model(noise: float = 0.0) -> GPT:
    return random_models.random_model(SMALL, noise=noise).requires_grad_(False)


def parrot(text: str, end: str = "") -> GPT:
    """A model that writes after each byte the one that follows it in this text, whose bytes are all
    others, in a circle; or, after those of `end`, the end token."""
    model = GPT(replace(SMALL, hidden_size=V, num_hidden_layers=1)).eval().requires_grad_(False)
    model.initialize(0)  # its layer does nothing yet
    model.model.embed_tokens.weight.copy_(torch.eye(V))
    model.lm_head.weight.zero_()
    tokens = TOKENIZER.encode(text)
    model.lm_head.weight[[*tokens[1:], tokens[0]], tokens] = 1
    for token in TOKENIZER.encode(end):
        model.lm_head.weight[TOKENIZER.eos_id, token] = 2
    return model


def write(
    model: GPT,
    draft: GPT | None,
    guess: bool,
    sampling: Sampling,
    prompts: tuple[str, ...],
    cache: int = 1024,
    cost: float = 0.05,
) -> tuple[list[Sequence], int, Engine]:
    """The texts, the steps they took, and what wrote them. A draft as large as the model is held to
    cost little."""
    engine, steps = Engine(model, TOKENIZER, cache), 0
    if guess:
        speculate(engine, draft, TOKENIZER)
        assert isinstance(engine.scheduler.guess, Speculation)
        if draft is not None:
            engine.scheduler.guess.guess_cost = cost
    sequences = [start(TOKENIZER, prompt, CONTEXT, sampling) for prompt in prompts]
    for sequence in sequences:
        engine.add(sequence)
    while engine.busy:
        engine.step()
        steps += 1
    return sequences, steps, engine


def told(sequences: list[Sequence]) -> list[tuple[list[int], str, str | None]]:
    return [(sequence.tokens, sequence.text, sequence.finish_reason) for sequence in sequences]


@pytest.mark.parametrize("draft", [False, True], ids=["looked up", "by a draft"])
@pytest.mark.parametrize("sampling", [
    {"max_tokens": 25}, {"max_tokens": 26}, {"max_tokens": 27}, {"max_tokens": 28, "min_tokens": 28},
    {"stop": ("叶新",)}, {"stop": ("b",)}, {"stop_token_ids": (TOKENIZER.encode("叶")[1],)}, {"logprobs": 2},
    {"regex": "(新叶){6}新"}, {"json_schema": {"type": "object"}},
], ids=str)  # fmt: skip
def test_a_text_ends_where_it_would_in_the_midst_of_guesses(draft: bool, sampling: dict) -> None:
    model = parrot("新叶")
    asked = Sampling(**{"temperature": 0.0, "max_tokens": 60, **sampling})
    prompts = ("新叶新", "叶")
    plain, steps, _ = write(model, None, False, asked, prompts)
    guessed, fewer, engine = write(model, model if draft else None, True, asked, prompts)
    assert told(guessed) == told(plain) and fewer <= steps
    assert [len(each.logprobs) for each in guessed] == [len(each.logprobs) for each in plain]
    assert engine.cache.used == 0


def test_the_end_token_among_the_guesses_ends_a_text() -> None:
    model = parrot("abcdefg", end="f")
    [text], steps, _ = write(model, model, True, Sampling(temperature=0), ("a",))
    assert (text.text, text.finish_reason, text.completion_tokens) == (
        "bcdef",
        "stop",
        6,
    ) and steps < 6


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.5])
@pytest.mark.parametrize("name", DRAFTS)
def test_texts_are_the_same_with_guesses_and_without(name: str, temperature: float) -> None:
    model = random_model()
    draft = None if DRAFTS[name] is None else random_model(DRAFTS[name])
    sampling = Sampling(
        temperature=temperature, seed=1, max_tokens=2 * CONTEXT, repetition_penalty=1.1
    )
    prompts = ("新叶", "a" * 50, "新叶催陈叶，新叶催陈叶")
    plain, *_ = write(model, draft, False, sampling, prompts)
    for cache in (1024, CONTEXT + 32):  # also where texts take each other's place
        guessed, _, engine = write(model, draft, True, sampling, prompts, cache)
        assert told(guessed) == told(plain)
        assert engine.cache.used == 0


def test_what_comes_true_saves_steps_and_what_does_not_is_given_up() -> None:
    sampling = Sampling(temperature=0, max_tokens=80)
    [text], steps, _ = write(parrot("新叶"), None, True, sampling, ("新叶新",))
    assert text.accepted == text.drafted and steps < 30
    [text], *_ = write(parrot("新叶"), random_model(), True, sampling, ("新叶新",), cost=0.4)
    assert 0 < text.drafted < 20


def test_many_at_once_guess_only_what_is_almost_sure() -> None:
    """They learn it from lookups that no step verified."""
    texts, *_ = write(
        parrot("新叶"), None, True, Sampling(max_tokens=5, temperature=0), ("新叶新",) * 30
    )
    assert not any(text.drafted for text in texts)
    texts, steps, _ = write(
        parrot("新叶"), None, True, Sampling(max_tokens=60, temperature=0), ("新叶新",) * 30
    )
    assert all(text.accepted for text in texts) and steps < 50


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_what_a_grammar_forces_is_guessed(temperature: float) -> None:
    schema = {"type": "object", "properties": {"茶的名字": {"enum": ["白茶", "oolong"]}}}
    sampling = Sampling(
        temperature=temperature, seed=1, json_schema=schema | {"required": ["茶的名字"]}
    )
    [plain], steps, _ = write(random_model(), None, False, sampling, ("a",))
    [guessed], fewer, _ = write(random_model(), None, True, sampling, ("a",))
    assert told([guessed]) == told([plain]) and "茶的名字" in guessed.text
    assert guessed.accepted > 15 and fewer <= steps - 15


def test_no_text_loses_its_blocks_for_a_guess() -> None:
    scheduler = Scheduler(BlockCache(3, 8), 2, 64, lambda _: [0] * 4)
    few, many = (Sequence([token] * size, size, Sampling()) for token, size in ((1, 6), (2, 8)))
    scheduler.waiting += few, many
    for part in scheduler.schedule():
        part.sequence.read = len(part.tokens)
        part.sequence.window.append(5)
    # One block is left. The second text needs it, the first would only guess with it.
    assert [part.guesses for part in scheduler.schedule()] == [0, 4]
    assert scheduler.running == [few, many]


def test_a_draft_with_other_tokens_is_refused() -> None:
    engine, other = Engine(random_model(), TOKENIZER), Tokenizer.train(["新叶"], kind="char")
    draft = GPT(replace(SMALL, vocab_size=other.vocab_size))
    with pytest.raises(
        XinyeError,
        match=r"the draft model's tokenizer \(265 tokens\) differs from the model's \(261\)",
    ):
        speculate(engine, draft, other)
