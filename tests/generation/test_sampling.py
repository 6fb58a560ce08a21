"""The next token is drawn from the distribution that transformers draws it from."""

import pytest
import torch
import transformers
from torch import Tensor

from xinye.generation import sequence as texts
from xinye.generation.next_token import next_tokens, shares, shifted
from xinye.generation.sampling import Sampling

B, V = 5, 40
LOGITS = 3 * torch.randn(B, V, generator=torch.Generator().manual_seed(0))
HISTORY = torch.randint(0, V, (B, 12), generator=torch.Generator().manual_seed(1))


def begun(
    sampling: Sampling, history: list[list[int]], prompt_tokens: int = 0
) -> list[texts.Sequence]:
    """Texts that hold these tokens, of which the first are the prompt."""
    return [texts.Sequence(tokens, prompt_tokens, sampling) for tokens in history]


def of_transformers(sampling: Sampling) -> Tensor:
    processors = [
        transformers.TemperatureLogitsWarper(sampling.temperature),
        sampling.top_k and transformers.TopKLogitsWarper(sampling.top_k),
        sampling.top_p and transformers.TopPLogitsWarper(sampling.top_p),
        sampling.min_p and transformers.MinPLogitsWarper(sampling.min_p),
    ]
    processors = transformers.LogitsProcessorList(
        processor for processor in processors if processor
    )
    return processors(HISTORY, LOGITS.clone()).softmax(-1)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.3},
        {"top_k": 1},
        {"top_k": 7},
        {"top_k": 1000},
        {"top_p": 0.05},
        {"top_p": 0.6},
        {"top_p": 1.0},
        {"min_p": 0.2},
        {"min_p": 1.0},
        {"temperature": 1.7, "top_k": 20, "top_p": 0.9, "min_p": 0.02},
    ],
    ids=str,
)
def test_probabilities_are_those_of_transformers(settings: dict) -> None:
    sampling = Sampling(**({"temperature": 1.0} | settings))
    ours, theirs = shares(LOGITS, [sampling] * B), of_transformers(sampling)
    ours = ours / ours.sum(-1, keepdim=True)
    assert torch.equal(ours > 0, theirs > 0)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_nucleus_of_many_tokens_is_found() -> None:
    logits = torch.linspace(0, 1, 3000).expand(2, -1)
    kept = shares(logits, [Sampling(temperature=1.0, top_p=0.9)] * 2) > 0
    theirs = transformers.TopPLogitsWarper(0.9)(None, logits.clone()) > -torch.inf
    assert (kept ^ theirs).sum() <= 4 and kept.sum() > 5000  # sums of thousands are rounded


@pytest.mark.parametrize("penalty", [0.7, 1.3])
def test_repetition_is_shunned_as_in_transformers(penalty: float) -> None:
    theirs = transformers.RepetitionPenaltyLogitsProcessor(penalty)(HISTORY, LOGITS.clone()).argmax(
        -1
    )
    sampling = Sampling(temperature=0, repetition_penalty=penalty)
    assert torch.equal(next_tokens(LOGITS, begun(sampling, HISTORY.tolist())), theirs)


def test_presence_and_frequency_are_penalized_as_by_openai() -> None:
    """logit - presence × [written before] - frequency × (times written); the prompt does not
    count."""
    history, prompt = [[7, 8, 3, 3, 3, 4], [1, 2, 9, 9, 0, 5]], 2
    for presence, frequency in ((0.0, 1.5), (2.0, 0.0), (-1.0, 0.5)):
        expected = LOGITS[:2].clone()
        for row, tokens in enumerate(history):
            for token in range(V):
                times = tokens[prompt:].count(token)
                expected[row, token] -= presence * (times > 0) + frequency * times
        sampling = Sampling(presence_penalty=presence, frequency_penalty=frequency)
        assert torch.allclose(shifted(LOGITS[:2], begun(sampling, history, prompt)), expected)


def test_a_bias_is_added() -> None:
    expected = LOGITS.clone()
    expected[:, 3] += 5
    expected[:, 30] -= 100
    sampling = Sampling(logit_bias={3: 5, 30: -100})
    assert torch.allclose(shifted(LOGITS, begun(sampling, HISTORY.tolist())), expected)


def test_no_end_comes_before_the_least_number_of_tokens() -> None:
    early, late = (begun(Sampling(min_tokens=4), [[1] * n])[0] for n in (3, 4))
    early.ends = late.ends = frozenset({2, 5})
    result = shifted(LOGITS[:2], [early, late])
    assert result[0, [2, 5]].tolist() == [-torch.inf] * 2 and torch.equal(result[1], LOGITS[1])


def test_texts_with_settings_of_their_own_are_drawn_as_alone() -> None:
    settings = [
        Sampling(temperature=0.5, top_k=3),
        Sampling(temperature=2.0, top_p=0.7),
        Sampling(temperature=1.0, min_p=0.1, top_k=1000),
        Sampling(temperature=1e-39),
        Sampling(temperature=1.0),
    ]
    together = shares(LOGITS, settings)
    for row, sampling in enumerate(settings):
        assert torch.allclose(
            together[row], shares(LOGITS[row : row + 1], [sampling])[0], atol=1e-7
        )
    mixed = [
        Sampling(temperature=0),
        *(sampling.model_copy(update={"seed": 1}) for sampling in settings[1:]),
    ]
    chosen = next_tokens(LOGITS, [begun(sampling, [[]])[0] for sampling in mixed])
    for row, sampling in enumerate(mixed):
        assert chosen[row] == next_tokens(LOGITS[row : row + 1], begun(sampling, [[]]))[0]


def test_temperature_zero_takes_the_likeliest_token() -> None:
    sampling = Sampling(temperature=0, top_k=3, top_p=0.1, min_p=0.9)
    assert torch.equal(next_tokens(LOGITS, begun(sampling, HISTORY.tolist())), LOGITS.argmax(-1))


def test_temperature_zero_still_shuns_repetition() -> None:
    history = LOGITS.argmax(-1, keepdim=True).tolist()
    sampling = Sampling(temperature=0, repetition_penalty=1e6)
    chosen = next_tokens(LOGITS, begun(sampling, history))
    assert torch.equal(chosen, LOGITS.topk(2).indices[:, 1])


def test_a_tiny_temperature_is_as_zero() -> None:
    sampling = Sampling(temperature=1e-39)
    chosen = next_tokens(LOGITS, begun(sampling, HISTORY.tolist()))
    assert torch.equal(chosen, LOGITS.argmax(-1))


def test_what_is_drawn_follows_the_probabilities() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log().expand(20_000, 3)
    [sequence] = begun(Sampling(temperature=1.0, seed=0), [[]])
    drawn = next_tokens(logits, [sequence] * 20_000)
    assert torch.allclose(
        drawn.bincount(minlength=3) / 20_000, torch.tensor([0.5, 0.3, 0.2]), atol=0.02
    )


def test_the_logits_are_not_changed() -> None:
    logits = LOGITS.clone()
    next_tokens(
        logits, begun(Sampling(repetition_penalty=2.0, logit_bias={3: 5.0}), HISTORY.tolist())
    )
    assert torch.equal(logits, LOGITS)
