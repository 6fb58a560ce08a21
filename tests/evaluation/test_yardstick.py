"""The yardstick beside bits per byte, on texts whose story is known."""

import json

import numpy as np

from xinye.data.tokenizer import Tokenizer
from xinye.evaluation.yardstick import COUNTED, Part, yardstick

BYTES = Tokenizer.train((), "bytes")


def part(text: bytes, pieces: int = 1) -> Part:
    [tokens] = [np.array(BYTES.encode(text.decode("latin-1")))]
    bounds = np.linspace(0, len(tokens), pieces + 1).astype(int)
    return Part(tokens, np.stack((bounds[:-1], bounds[1:]), axis=1))


def letters(size: int, count: int = 16) -> bytes:
    drawn = np.random.default_rng(size).integers(0, count, size)
    return bytes((drawn + ord("a")).astype(np.uint8))


def test_nobody_predicts_what_was_drawn_by_lot():
    measured = yardstick(part(letters(200_000)), part(letters(50_000)), BYTES)
    assert 4 <= measured.gzip < 4.8 and 4 <= measured.five_gram < 4.4  # 16 letters are 4 bits


def test_what_was_learned_is_predicted():
    rhyme = b"one two buckle my shoe, three four knock at the door. "
    measured = yardstick(part(rhyme * 200), part(rhyme * 100), BYTES)
    assert measured.five_gram < 0.2 and measured.gzip < 0.2


def test_of_a_long_text_a_sample_is_measured():
    text = letters(COUNTED + 200_000)
    for pieces in (1, 100, 50_000):
        measured = yardstick(part(text, pieces), part(letters(1000)), BYTES)
        assert 0.6 * COUNTED < measured.counted_tokens <= COUNTED
        assert measured.predicted_tokens == measured.compressed_bytes == 1000


def test_a_run_keeps_and_tells_it(trained, xinye):
    kept = json.loads((trained / "training" / "settings.json").read_text("utf-8"))
    measured = kept["data"]["yardstick"]
    said = f"gzip {measured['gzip']:.3f}, 5-gram {measured['five_gram']:.3f}"
    assert said in xinye("runs", "show", trained).out
    assert f"{measured['gzip']:.3f}" in (trained / "report.html").read_text("utf-8")
    assert f"{measured['five_gram']:.3f}" in (trained / "README.md").read_text("utf-8")
