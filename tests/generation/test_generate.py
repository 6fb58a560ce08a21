"""Fast generation writes what the plain way writes: without a cache, one text at a time, ending
where it should."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch

from random_models import endless_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.generation import sequence as texts
from xinye.generation.engine import generate, start
from xinye.generation.sampling import Sampling
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT

# every letter is one token, every Chinese character three
TOKENIZER = Tokenizer.train([], kind="bytes")
V = TOKENIZER.vocab_size
CONTEXT = 48
SHAPES = {
    "modern, grouped queries": GPTConfig("modern", V, 24, 2, 4, 2, 6, 40, CONTEXT, False),
    "llama, one key-value head": GPTConfig("llama", V, 24, 2, 4, 1, 6, 40, CONTEXT, False),
    "gpt2": GPTConfig("gpt2", V, 24, 2, 4, 4, 6, 96, CONTEXT, False),
}
PROMPTS = ["新叶", "", "The leaf falls. ", "a"]
GREEDY = Sampling(temperature=0, max_tokens=20)


def parrot(successors: dict[str, str]) -> GPT:
    """A model that writes after each byte the one that the table says; "^" is `<bos>` and "$" is
    `<eos>`."""
    config = GPTConfig("modern", V, V, 1, 1, 1, 2, 1, CONTEXT, False)
    model = GPT(config)
    model.initialize(0)  # its layer does nothing yet
    ids = {"^": TOKENIZER.bos_id, "$": TOKENIZER.eos_id}
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(V))
        model.lm_head.weight.zero_()
        for this, following in successors.items():
            tokens = [
                ids.get(character) or TOKENIZER.encode(character)[0]
                for character in (this, following)
            ]
            model.lm_head.weight[tokens[1], tokens[0]] = 1
    return model


def write(
    model: GPT, prompts: Sequence[str], sampling: Sampling, stop: Sequence[str] = ()
) -> tuple[list[texts.Sequence], list[list[str]]]:
    """The finished texts, and the pieces that came of each."""
    sampling = sampling.model_copy(update={"stop": tuple(stop)})
    sequences = [
        start(TOKENIZER, prompt, CONTEXT, sampling, number) for number, prompt in enumerate(prompts)
    ]
    pieces: list[list[str]] = [[] for _ in prompts]
    for number, piece in generate(model, TOKENIZER, sequences):
        pieces[number].append(piece)
    return sequences, pieces


@torch.no_grad()
def assert_greedy(model: GPT, sequence: texts.Sequence) -> None:
    """Each token written is the likeliest when all before it are read anew, alone, without a
    cache."""
    logits = model(torch.tensor([sequence.tokens[:-1]]))[0, sequence.prompt_tokens - 1 :]
    chosen = logits.gather(1, torch.tensor(sequence.tokens[sequence.prompt_tokens :])[:, None])[
        :, 0
    ]
    assert (chosen >= logits.max(-1).values - 1e-3).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_with_a_cache_is_as_without(shape: str) -> None:
    model = endless_model(SHAPES[shape])
    for prompt in PROMPTS:
        [sequence], _ = write(model, [prompt], GREEDY)
        assert sequence.completion_tokens == 20
        assert_greedy(model, sequence)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_batch_of_prompts_writes_what_each_writes_alone(shape: str) -> None:
    model = endless_model(SHAPES[shape])
    for sequence in write(model, PROMPTS, GREEDY)[0]:
        assert sequence.completion_tokens == 20
        assert_greedy(model, sequence)


@pytest.mark.parametrize("shape", SHAPES)
def test_past_the_context_a_batch_still_writes_what_each_writes_alone(shape: str) -> None:
    model = endless_model(SHAPES[shape])
    # the last one fills the context
    prompts = [
        "",
        "a",
        "b" * 20,
        "c" * (CONTEXT - 2),
        "d" * (CONTEXT - 1),
    ]
    sampling = Sampling(temperature=0, max_tokens=3 * CONTEXT)
    together, _ = write(model, prompts, sampling)
    for prompt, sequence in zip(prompts, together, strict=True):
        assert sequence.completion_tokens == 3 * CONTEXT
        assert sequence.tokens == write(model, [prompt], sampling)[0][0].tokens, prompt[:1]


def test_writing_goes_on_past_the_context_though_another_text_has_ended() -> None:
    model = parrot({"x": "$", "a": "b", "b": "a"})
    prompts, sampling = (
        ["x", "a", "b" * (CONTEXT - 1)],
        Sampling(temperature=0, max_tokens=2 * CONTEXT + 1),
    )
    (ended, *others), _ = write(model, prompts, sampling)
    assert (ended.text, ended.finish_reason) == ("", "stop")
    assert [sequence.text for sequence in others] == ["ba" * CONTEXT + "b", "ab" * CONTEXT + "a"]


def test_a_prompt_longer_than_the_context_is_refused() -> None:
    with pytest.raises(
        XinyeError, match=f"the prompt has {CONTEXT + 1} tokens; this model reads at most {CONTEXT}"
    ):
        start(TOKENIZER, "a" * CONTEXT, CONTEXT, GREEDY)
    assert start(TOKENIZER, "a" * (CONTEXT - 1), CONTEXT, GREEDY).prompt_tokens == CONTEXT


def test_a_seed_repeats_texts_and_each_of_several_is_another() -> None:
    model = endless_model(SHAPES["gpt2"])
    sampling = Sampling(temperature=1.5, max_tokens=20, seed=7)
    first, again = (write(model, ["新"] * 4, sampling)[0] for _ in range(2))
    assert [sequence.tokens for sequence in first] == [sequence.tokens for sequence in again]
    assert len({tuple(sequence.tokens) for sequence in first}) == 4
    other, _ = write(model, ["新"] * 4, sampling.model_copy(update={"seed": 8}))
    assert [sequence.tokens for sequence in first] != [sequence.tokens for sequence in other]
    unseeded = [
        write(model, ["新"], sampling.model_copy(update={"seed": None}))[0][0].tokens
        for _ in range(2)
    ]
    assert unseeded[0] != unseeded[1]


def test_the_end_token_ends_a_text() -> None:
    model = parrot({"^": "l", "l": "e", "e": "a", "a": "f", "f": "$"})
    (first, second), pieces = write(model, ["", "a"], GREEDY)
    assert (first.text, first.finish_reason, first.completion_tokens) == ("leaf", "stop", 5)
    assert (second.text, second.finish_reason, second.completion_tokens) == ("f", "stop", 2)
    assert pieces == [["l", "e", "a", "f"], ["f"]]


@pytest.mark.parametrize("most", [1, 7])
def test_a_text_ends_after_exactly_max_tokens(most: int) -> None:
    [sequence], _ = write(
        parrot({"^": "a", "a": "b", "b": "a"}), [""], Sampling(temperature=0, max_tokens=most)
    )
    assert (sequence.text, sequence.finish_reason) == ("abababa"[:most], "length")
    assert sequence.completion_tokens == most


def test_a_stop_string_over_several_tokens_ends_a_text_and_is_never_shown() -> None:
    model = parrot({"^": "a", "a": "b", "b": "c", "c": "d", "d": "e", "e": "f", "f": "$"})
    [sequence], [pieces] = write(model, [""], GREEDY, stop=["def", "x"])
    assert (sequence.text, sequence.finish_reason) == ("abc", "stop")
    assert pieces == ["a", "b", "c"]


def test_half_a_stop_string_is_shown_where_the_text_ends_with_it() -> None:
    model = parrot({"^": "a", "a": "b", "b": "c", "c": "$"})
    assert write(model, [""], GREEDY, stop=["bcd"])[0][0].text == "abc"
    assert (
        write(model, [""], Sampling(temperature=0, max_tokens=2), stop=["bcd"])[0][0].text == "ab"
    )


def test_characters_of_several_tokens_come_whole() -> None:
    model = parrot({})
    # six bytes, none of them twice
    chain = [
        TOKENIZER.bos_id,
        *TOKENIZER.encode("新叶"),
        TOKENIZER.eos_id,
    ]
    with torch.no_grad():
        for this, following in pairwise(chain):
            model.lm_head.weight[following, this] = 1
    assert write(model, [""], GREEDY)[1] == [["新", "叶"]]


def test_a_model_in_training_generates_without_dropout_and_goes_on_training() -> None:
    config = GPTConfig("modern", V, 24, 2, 4, 2, 6, 40, CONTEXT, False, dropout=0.5)
    model = endless_model(config).requires_grad_().train()
    [sequence], _ = write(model, ["新叶"], GREEDY)
    assert model.training
    assert_greedy(model.eval(), sequence)
    model.train()
    unfinished = generate(model, TOKENIZER, [start(TOKENIZER, "", CONTEXT, GREEDY)])
    next(unfinished)
    unfinished.close()
    assert model.training
    assert model(
        torch.tensor([[1]])
    ).requires_grad  # what is done between two pieces is not in inference mode
