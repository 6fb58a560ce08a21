"""Whatever runs beside it, a text is what it would be alone, and its place in the cache is free
again afterwards."""

import random
from dataclasses import replace

import pytest
import torch

from random_models import endless_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.generation import runner
from xinye.generation import sequence as texts
from xinye.generation.engine import Engine, start
from xinye.generation.sampling import Sampling
from xinye.model.adapter_settings import AdapterSettings
from xinye.model.adapters import attach
from xinye.model.build import Config, LanguageModel
from xinye.model.config import GPTConfig, LSTMConfig
from xinye.model.rope import RopeScaling

TOKENIZER = Tokenizer.train([], kind="bytes")
V, CONTEXT = TOKENIZER.vocab_size, 96
MODERN = GPTConfig("modern", V, 32, 2, 4, 2, 8, 48, CONTEXT, False)
SHAPES: dict[str, Config] = {
    "modern": MODERN,
    "llama, yarn": replace(MODERN, architecture="llama", rope_scaling=RopeScaling("yarn", 4.0, 24)),
    "llama, dynamic": replace(
        MODERN, architecture="llama", rope_scaling=RopeScaling("dynamic", 2.0)
    ),
    "gpt2": GPTConfig("gpt2", V, 32, 2, 4, 4, 8, 64, CONTEXT, False),
    "lstm": LSTMConfig(V, 24, 2, CONTEXT, False),
}
GREEDY = Sampling(temperature=0, max_tokens=20)


def begin(prompt: str, number: int = 0, **sampling: object) -> texts.Sequence:
    return start(TOKENIZER, prompt, CONTEXT, GREEDY.model_copy(update=sampling), number)


def run(engine: Engine, sequences: list[texts.Sequence]) -> list[texts.Sequence]:
    list(engine.generate(sequences))
    return sequences


@torch.no_grad()
def assert_greedy(model: LanguageModel, sequence: texts.Sequence) -> None:
    """Each token is the likeliest behind all before it, read anew, alone, without a cache;
    near-ties excepted."""
    logits = model(torch.tensor([sequence.tokens[:-1]]))[0, sequence.prompt_tokens - 1 :]
    chosen = logits.gather(1, torch.tensor(sequence.tokens[sequence.prompt_tokens :])[:, None])[
        :, 0
    ]
    assert (chosen >= logits.max(-1).values - 1e-3).all()


def assert_all_free(engine: Engine) -> None:
    assert not engine.busy and engine.cache.used == 0 and not any(engine.cache._users)
    assert sorted(engine.cache._unused) == list(range(engine.cache.blocks))


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "by PyTorch"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_text_is_the_same_in_any_company(
    shape: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts join and leave while others run; prompts are read in chunks of all sizes and share
    their beginnings; the cache is so small that texts wait, are put off, and are read again."""
    if not compiled:
        monkeypatch.setattr(runner, "decoder_for", lambda model: None)
    monkeypatch.setattr("xinye.generation.engine.BLOCK", 8)
    monkeypatch.setattr(runner, "FEW", 3)
    model, chance = endless_model(SHAPES[shape]), random.Random(shape)
    for _ in range(4):
        tokens = chance.choice([CONTEXT, 2 * CONTEXT, 6 * CONTEXT])
        engine = Engine(
            model, TOKENIZER, tokens, chance.randint(1, 6), chance.choice([1, 5, 16, 200])
        )
        beginnings = ["", "新叶新叶新叶", "The leaf falls. " * 3]
        coming = [
            begin(
                chance.choice(beginnings) + "x" * chance.randint(0, 20),
                max_tokens=chance.randint(1, 25),
            )
            for _ in range(8)
        ]
        sequences, left = [*coming], []
        while coming or engine.busy:
            if coming and chance.random() < 0.4:
                engine.add(coming.pop())
            if engine.running and chance.random() < 0.03:
                left.append(chance.choice(engine.running))
                engine.cancel(left[-1])
            engine.step()
        assert_all_free(engine)
        for sequence in sequences:
            assert sequence in left or sequence.completion_tokens == sequence.sampling.max_tokens
            assert_greedy(model, sequence)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "by PyTorch"])
def test_where_the_cache_is_full_the_last_gives_way_and_is_read_again(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(runner, "decoder_for", lambda model: None)
    model = endless_model(MODERN)
    engine = Engine(model, TOKENIZER, cache_tokens=3 * 32)
    sequences = [begin(letter * 20, max_tokens=40) for letter in "abc"]
    for sequence in sequences:
        engine.add(sequence)
    engine.step()
    assert engine.running == sequences
    while not engine.waiting:
        engine.step()
    assert sequences[0] in engine.running and sequences[2] in engine.waiting
    while engine.busy:
        engine.step()
    for sequence in sequences:
        assert sequence.completion_tokens == 40
        assert_greedy(model, sequence)


def test_prefix_tuned_models_run_as_alone() -> None:
    model = endless_model(MODERN)
    attach(model, AdapterSettings(method="prefix", num_virtual_tokens=5))
    engine = Engine(model, TOKENIZER)
    for sequence in run(engine, [begin("新叶" * n, max_tokens=9) for n in range(5)]):
        assert_greedy(model, sequence)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "by PyTorch"])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_guesses_change_nothing_but_the_number_of_steps(
    temperature: float, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(runner, "decoder_for", lambda model: None)
    model, chance = endless_model(MODERN), random.Random(0)

    def begun() -> list[texts.Sequence]:
        return [
            begin(prompt, temperature=temperature, seed=1, max_tokens=30)
            for prompt in ("新", "a" * 40, "b")
        ]

    plain = run(Engine(model, TOKENIZER), begun())

    def guess(sequence: texts.Sequence) -> list[int]:
        """Often right, sometimes not."""
        [known] = [
            other
            for other in plain
            if other.tokens[: other.prompt_tokens] == sequence.tokens[: other.prompt_tokens]
        ]
        right = known.tokens[len(sequence.tokens) : len(sequence.tokens) + 4][
            : 29 - sequence.completion_tokens
        ]
        return [token if chance.random() < 0.8 else 7 for token in right]

    engine, steps = Engine(model, TOKENIZER, 3 * CONTEXT, guess=guess), 0
    guessed = begun()
    for sequence in guessed:
        engine.add(sequence)
    while engine.busy:
        engine.step()
        steps += 1
    assert [sequence.tokens for sequence in guessed] == [
        sequence.tokens for sequence in plain
    ] and steps < 25
    assert_all_free(engine)


def test_a_long_prompt_keeps_nobody_waiting() -> None:
    engine = Engine(endless_model(MODERN), TOKENIZER, chunk=8)
    short, long = begin("a", max_tokens=30), begin("b" * 80)
    engine.add(short)
    engine.step()
    engine.add(long)
    for written in range(1, 11):
        assert (short.completion_tokens, long.completion_tokens, long.read) == (
            written,
            0,
            8 * (written - 1),
        )
        engine.step()


def test_a_shared_beginning_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = endless_model(MODERN)
    engine, read = Engine(model, TOKENIZER), []
    plain = engine.runner.run
    monkeypatch.setattr(
        engine.runner,
        "run",
        lambda parts: read.extend(len(p.tokens) for p in parts) or plain(parts),
    )
    several = run(engine, [begin("b" * 70, number, max_tokens=3) for number in range(4)])
    assert sorted(read, reverse=True)[:5] == [71, 7, 7, 7, 1]
    for sequence in several:
        assert_greedy(model, sequence)
    turn, _ = begin("", max_tokens=1), read.clear()
    turn.tokens[:] = turn.window[:] = several[0].tokens
    run(engine, [turn])
    assert read == [74 - 64]


def test_what_ended_is_forgotten_only_when_its_place_is_needed() -> None:
    engine = Engine(endless_model(MODERN), TOKENIZER, cache_tokens=3 * 96)
    first = begin("a" * 70, max_tokens=1)
    run(engine, [first])
    assert len(engine.cache.find(first.tokens)[0]) == 2
    run(engine, [begin("b" * 70, max_tokens=1)])
    assert len(engine.cache.find(first.tokens)[0]) == 2
    run(engine, [begin(letter * 90, max_tokens=1) for letter in "cdefg"])
    assert engine.cache.find(first.tokens)[0] == []


def test_who_leaves_frees_its_place_and_others_go_on() -> None:
    model = endless_model(MODERN)
    engine = Engine(model, TOKENIZER, cache_tokens=CONTEXT)
    first, second = begin("a" * 60, max_tokens=30), begin("b" * 60)
    pieces = engine.generate([first])
    next(pieces)
    engine.add(second)
    engine.step()
    assert engine.running == [first] and engine.waiting == [second]
    pieces.close()
    assert not engine.running
    while engine.busy:
        engine.step()
    assert_greedy(model, second)
    engine.cancel(second)  # long gone
    assert_all_free(engine)


@pytest.mark.parametrize("shape", ["modern", "lstm"])
def test_an_error_ends_one_text_and_not_the_others(shape: str) -> None:
    model = endless_model(SHAPES[shape])
    model.model.embed_tokens.weight[TOKENIZER.encode("x")] = torch.nan
    engine = Engine(model, TOKENIZER)
    good, bad = begin("abc"), begin("x")
    engine.add(good), engine.add(bad)
    ended = [sequence for sequence, _ in engine.step() if sequence.ended]
    assert ended == [bad] and "not finite" in str(bad.error) and bad.finish_reason is None
    while engine.busy:
        engine.step()
    assert_greedy(model, good)
    with pytest.raises(XinyeError, match="not finite"):
        run(engine, [begin("x")])
    run(engine, [begin("d") for _ in range(3)])  # in the same places
    assert_all_free(engine)


def test_two_texts_of_one_engine_can_be_read_in_turn() -> None:
    model = endless_model(MODERN)
    engine = Engine(model, TOKENIZER)
    alone = [run(engine, [begin(prompt)])[0].text for prompt in ("新", "a")]
    first, second = (engine.generate([begin(prompt)]) for prompt in ("新", "a"))
    both = list(zip(first, second, strict=False))
    texts_ = ["".join(piece for _, piece in pieces) for pieces in zip(*both, strict=True)]
    assert alone[0].startswith(texts_[0]) and alone[1].startswith(texts_[1]) and len(both) > 5


def test_what_can_never_run_is_refused() -> None:
    engine = Engine(endless_model(MODERN), TOKENIZER, cache_tokens=64)
    with pytest.raises(XinyeError, match="the prompt has 71 tokens; this model reads at most 64"):
        engine.add(begin("a" * 70))
    with pytest.raises(
        XinyeError, match=f"there is no token {V}; this model has tokens 0 to {V - 1}"
    ):
        engine.add(begin("a", logit_bias={V: 1.0}))
    with pytest.raises(XinyeError, match="there is no token -1"):
        engine.add(begin("a", stop_token_ids=(-1,)))
    assert not engine.busy


def test_a_seed_gives_each_completion_its_own_text_and_the_same_again() -> None:
    engine = Engine(endless_model(MODERN), TOKENIZER)

    def written(seed: int) -> list[str]:
        return [
            s.text
            for s in run(engine, [begin("新", n, temperature=1.5, seed=seed) for n in range(4)])
        ]

    assert written(1) == written(1) != written(2)
    assert len(set(written(1))) == 4


def test_log_probabilities_are_those_of_a_forward_pass() -> None:
    model = endless_model(MODERN)
    sampling = {"temperature": 1.0, "top_k": 5, "logprobs": 3, "frequency_penalty": 1.0, "seed": 1}
    [sequence] = run(Engine(model, TOKENIZER), [begin("新叶", **sampling)])
    logs = model(torch.tensor([sequence.tokens]))[0].log_softmax(-1)[sequence.prompt_tokens - 1 :]
    assert [token for token, _, _ in sequence.logprobs] == sequence.tokens[sequence.prompt_tokens :]
    for (token, log, likeliest), row in zip(sequence.logprobs, logs, strict=False):
        assert log == pytest.approx(float(row[token]), abs=1e-4)
        assert [token for token, _ in likeliest] == row.topk(3).indices.tolist()
        assert [log for _, log in likeliest] == pytest.approx(row.topk(3).values.tolist(), abs=1e-4)


def test_a_stop_token_ends_a_text_and_is_not_shown() -> None:
    engine = Engine(endless_model(MODERN), TOKENIZER)
    [free] = run(engine, [begin("a")])
    written = free.tokens[free.prompt_tokens :]
    token = written[7]
    first = written.index(token)
    [stopped] = run(engine, [begin("a", stop_token_ids=(token,))])
    assert (
        stopped.finish_reason == "stop"
        and stopped.tokens == free.tokens[: free.prompt_tokens + first + 1]
    )
    assert free.text.startswith(stopped.text)
    [longer] = run(engine, [begin("a", stop_token_ids=(token,), min_tokens=15)])
    assert (
        longer.completion_tokens >= 15 and token not in longer.tokens[longer.prompt_tokens :][:14]
    )
