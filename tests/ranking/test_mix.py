import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ranking.fixed import Fixed, case
from xinye.errors import XinyeError
from xinye.ranking.fitted import GPT, PARTS, Fitted
from xinye.ranking.histories import Histories
from xinye.ranking.judging import judge
from xinye.ranking.mix import Mix

HISTORIES = Histories.of([[0, 1, 2], [0, 1], [1, 2, 3], [3]], 5, np.arange(9.0))
WEIGHTS = dict(zip(PARTS["the mix"], (0.5, 0.2, 0.1, 0.1, 0.1, 0), strict=True))
MIXES = {name: {part: WEIGHTS[part] for part in parts} for name, parts in PARTS.items()}


def test_a_mix_ranks_better_than_each_of_its_rankers():
    noise = np.random.default_rng(0)
    targets = noise.integers(0, 40, 60)
    cases = [case([], int(target)) for target in targets]

    class Noisy:
        def __init__(self, seed):
            self.name, rows = f"noisy {seed}", np.random.default_rng(seed).normal(size=(60, 40))
            rows[np.arange(60), targets] += 1.2
            self.by_case = {id(each.history): row for each, row in zip(cases, rows, strict=True)}

        def scores(self, histories):
            return np.stack([self.by_case[id(history)] for history in histories])

    some = [Noisy(1), Noisy(2), Fixed([0.0] * 40)]
    mix = Mix.learn(some, cases, "both")
    alone = [judge(ranker, cases, 40).ndcg.mean() for ranker in some]
    assert judge(mix, cases, 40).ndcg.mean() > max(alone) + 0.03
    assert mix.weights.sum() == pytest.approx(1)


def test_weights_do_not_depend_on_the_scale_of_scores():
    cases = [case([], 1), case([], 2)]
    small = Mix.learn([Fixed([1, 3, 2]), Fixed([0, 1, 2])], cases, "small")
    large = Mix.learn([Fixed([10, 30, 20]), Fixed([0, 5, 10])], cases, "large")
    assert small.weights == pytest.approx(large.weights)


def test_what_is_saved_ranks_as_before(tmp_path):
    fitted = Fitted.fit(HISTORIES)
    fitted.save(tmp_path, MIXES)
    again, mixes = Fitted.load(tmp_path)
    assert mixes == MIXES
    history = [np.array([0, 3], np.int32)]
    for one, other in zip(fitted.rankers, again.rankers, strict=True):
        assert other.scores(history) == pytest.approx(one.scores(history), rel=2e-3)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("ease.items", np.array([0, 1, 2, 3, 9])),
        ("ease.items", np.array([0, 1, 2, 3, 3])),
        ("markov.items", np.array([77] * 9, np.int32)),
        ("markov.starts", np.array([0, 99, 2, 3, 4, 5])),
        ("recent", np.array([np.nan] * 5, np.float32)),
        ("popular", np.ones(4, np.float32)),
        ("popular", np.full(5, -2, np.float32)),
        ("popular", np.ones(5, np.int64)),
        ("ease.items", np.arange(5.0)),
        ("markov.starts", np.zeros(6, np.int64)),
    ],
)
def test_damaged_rankers_are_refused(tmp_path, name, wrong):
    Fitted.fit(HISTORIES).save(tmp_path, MIXES)
    path = tmp_path / "ranking.safetensors"
    save_file(load_file(path) | {name: wrong}, path)
    with pytest.raises(XinyeError, match=r"ranking\.safetensors: damaged"):
        Fitted.load(tmp_path)


def test_rankers_without_their_file_or_with_unknown_numbers_are_refused(tmp_path):
    Fitted.fit(HISTORIES).save(tmp_path, MIXES)
    path = tmp_path / "ranking.safetensors"
    before = path.read_bytes()
    half = before.replace(b'"F16"', b'"BF16"')
    size = int.from_bytes(half[:8], "little") + len(half) - len(before)
    path.write_bytes(size.to_bytes(8, "little") + half[8:])
    with pytest.raises(XinyeError, match=r"ranking\.safetensors: damaged"):
        Fitted.load(tmp_path)
    path.unlink()
    with pytest.raises(XinyeError, match=r"ranking\.safetensors: no such file"):
        Fitted.load(tmp_path)


@pytest.mark.parametrize("weights", [[], {GPT: 1}, WEIGHTS | {"EASE": "x"}, WEIGHTS | {"EASE": 7}])
def test_damaged_weights_are_refused(tmp_path, weights):
    mixes = MIXES | {"the mix": weights}
    Fitted.fit(HISTORIES).save(tmp_path, mixes)
    with pytest.raises(XinyeError, match="weights of the mix"):
        Fitted.load(tmp_path)
