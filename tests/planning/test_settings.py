"""What a person can set: counts, durations, one budget, and no key that is silently ignored."""

from pathlib import Path

import pytest

from xinye.errors import XinyeError, checked
from xinye.planning.config_file import read_config
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import parse_count, parse_time

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize(
    "text, count",
    [
        ("5M", 5_000_000),
        ("5m", 5_000_000),
        ("350000", 350_000),
        ("1.5B", 1_500_000_000),
        ("20k", 20_000),
        (" 1M ", 10**6),
        ("15T", 15 * 10**12),
    ],
)
def test_counts(text, count):
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "M", "0", "-5M", "5X", "5MM", "five", "1e6", "0.0001"])
def test_what_is_no_count(text):
    with pytest.raises(XinyeError, match="is not a number such as 5M"):
        parse_count(text)


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("90s", 90),
        ("10min", 600),
        ("10 min", 600),
        ("10 minutes", 600),
        ("1.5h", 5400),
        ("1h30min", 5400),
        ("2days", 172_800),
        ("5m", 300),
        ("1 hour", 3600),
    ],
)
def test_durations(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "0s", "min", "10parsecs", "-5min", "1h30"])
def test_what_is_no_duration(text):
    with pytest.raises(XinyeError, match="is not a duration"):
        parse_time(text)


def test_plain_numbers_and_truth_values():
    """YAML reads `compile: no` as false and `tokens: 20000000` as a number; Python has numbers of
    its own."""
    settings = checked(
        PretrainSettings, {"compile": False, "tokens": 20_000_000, "size": 5_000_000}, "x"
    )
    assert (settings.compile, settings.tokens, settings.size) == ("no", "20000000", "5000000")


def test_one_budget_at_most():
    assert checked(PretrainSettings, {"time": "5min"}, "x").time == "5min"
    with pytest.raises(XinyeError, match="not --tokens and --steps"):
        checked(PretrainSettings, {"tokens": "5M", "steps": 3}, "x")


@pytest.mark.parametrize(
    "key, nearest",
    [
        ("sise", "size"),
        ("layer", "layers"),
        ("learningrate", "learning_rate"),
        ("vocab", "vocab_size"),
        ("xyzzy", None),
    ],
)
def test_an_unknown_key_names_the_nearest(key, nearest):
    with pytest.raises(XinyeError) as error:
        checked(PretrainSettings, {key: 1}, "mine.yaml")
    assert f"mine.yaml: unknown key '{key}'" in str(error.value)
    assert ("did you mean" in str(error.value)) == (nearest is not None)
    if nearest:
        assert f"did you mean '{nearest}'?" in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        {"vocab_size": 500, "tokenizer": "bytes"},
        {"vocab_size": 500, "tokenizer": "."},
        {"matrix_learning_rate": 0.1, "optimizer": "adamw"},
    ],
)
def test_nothing_is_silently_ignored(values):
    with pytest.raises(XinyeError, match=next(iter(values))):
        checked(PretrainSettings, values, "x")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_example_configs_are_valid_and_open_with_their_command(path):
    values = read_config(path)
    assert checked(PretrainSettings, {**values, "files": ("input.txt",)}, str(path))
    lines = path.read_text("utf-8").splitlines()
    assert lines[0].startswith("# ")
    command = next(line for line in lines if "xinye pretrain" in line)
    assert command.startswith("#") and f"--config configs/{path.name}" in command
    settings = [line for line in lines if line and not line.startswith("#")]
    assert all("  # " in line for line in settings), "each setting has its comment"


def test_there_are_two_example_configs():
    assert [path.name for path in CONFIGS] == ["novels.yaml", "shakespeare.yaml"]


@pytest.mark.parametrize(
    "text, says",
    [
        ("size: " + "[" * 5000, "nested more than 20 levels deep"),
        ("size: " + "{a: " * 5000, "nested more than 20 levels deep"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nsize: *b", "aliases"),
        ("size: &a [*a]", "aliases"),
        ("size: 5M\n" * 50_000, "too large"),
        ("steps: 1" + "0" * 5000, "not a YAML file"),
        ("steps: !!timestamp 1", "not a YAML file"),
        ("steps: !!python/object/apply:os.system [ls]", "not a YAML file"),
        ("steps: 2026-13-45", "not a YAML file"),
    ],
)
def test_a_config_that_asks_for_too_much_is_one_line(xinye, workplace, text, says):
    (workplace / "odd.yaml").write_text(text, "utf-8")
    outcome = xinye("pretrain", "zh.txt", "--config", "odd.yaml", "--dry-run")
    assert outcome.code == 2 and "odd.yaml: " in outcome.complaint and says in outcome.complaint
    assert len(outcome.complaint) < 400
