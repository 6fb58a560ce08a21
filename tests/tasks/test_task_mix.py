"""`--task-mix`: records are read as in fine-tuning, the validation text stays as it is, and a model
that has read the form of a task is better at it."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xinye as package
from xinye.data.batches import IGNORED
from xinye.observer import Observer
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.tasks.chat import Chat
from xinye.tasks.classify import Classify
from xinye.tasks.exercises import chats, reviews
from xinye.tasks.task_mix import mix_in, repeated, repetitions
from xinye.tasks.text import prepare_text
from xinye.training.train import pretrain

LANGUAGES = ("zh", "en")


@pytest.fixture
def here(workplace, no_measuring):
    """The folder with texts, and with records of two tasks in both languages."""
    for language in LANGUAGES:
        for name, rows in {"chats": chats(80, language), "reviews": reviews(80, language)}.items():
            lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
            Path(f"{name}_{language}.jsonl").write_text(lines, "utf-8")
    return workplace


def settings(language="zh", **changes):
    values = {
        "files": (f"{language}.txt",),
        "size": "1M",
        "layers": 1,
        "width": 64,
        "context": 128,
        "batch_size": 4,
        "steps": 6,
        "evaluations": 2,
        "tokenizer": "char",
        "dtype": "float32",
        "compile": "no",
    }
    return PretrainSettings(**{**values, **changes})


def mixed_text(asked):
    """The text of a run without and with the records, its tokenizer, and the records' facts."""
    text = prepare_text(asked, Draft(), Observer())
    windows, facts = mix_in(text.training, text.tokenizer, asked, Draft(), Observer())
    return text, windows, facts


def rows_of(windows):
    """What each window holds: pairs of (tokens read, tokens predicted), one for each document."""
    for batch in windows.in_order(16):
        documents = batch.documents if batch.documents is not None else batch.targets * 0
        for tokens, targets, numbers in zip(batch.tokens, batch.targets, documents, strict=True):
            for number in set(numbers.tolist()) - {-1}:
                inside = (numbers == number) & (targets != IGNORED)
                yield tuple(tokens[inside].tolist()), tuple(targets[inside].tolist())


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_chat_is_read_as_in_fine_tuning_token_for_token(here, language):
    text, windows, facts = mixed_text(
        settings(language, task_mix=(f"chat=chats_{language}.jsonl",), context=256)
    )
    records = Chat.read([f"chats_{language}.jsonl"])
    training, kept = Chat.split(records, 0.1, 0)
    seen = set(rows_of(windows))

    def rows(some):
        for example in Chat.of(records).examples(text.tokenizer, some, 256):
            yield tuple(example.tokens), (*example.tokens[1:], example.targets[-1])

    assert all(row in seen for row in rows(training))
    known = {record.whole for record in training}
    assert kept and not any(row in seen for row in rows(r for r in kept if r.whole not in known))
    assert facts[0]["records"] == len(training) and facts[0]["task"] == "chat"


def test_a_labelled_text_is_read_without_its_label(here):
    text, windows, _ = mixed_text(settings(task_mix=("classify=reviews_zh.jsonl",)))
    record = Classify.split(Classify.read(["reviews_zh.jsonl"]), 0.1, 0)[0][0]
    ids = text.tokenizer.encode(record.text)
    assert any(predicted[: len(ids)] == tuple(ids) for _, predicted in rows_of(windows))


def test_the_validation_text_is_not_mixed(here):
    plain = prepare_text(settings(tokenizer="bytes"), Draft(), Observer())
    text, windows, _ = mixed_text(settings(tokenizer="bytes", task_mix=("chat=chats_zh.jsonl:.5",)))
    assert np.array_equal(plain.validation.spans, text.validation.spans)
    assert np.array_equal(plain.training.spans, windows.spans[: len(plain.training.spans)])


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.none() | st.floats(0.01, 0.2)), min_size=1,
             max_size=4),
    st.integers(100, 10**7),
)  # fmt: skip
def test_each_share_is_kept(sources, text):
    sizes, shares = zip(*sources, strict=True)
    times = repetitions(text, sizes, shares)
    tokens = [size * often for size, often in zip(sizes, times, strict=True)]
    for share, often, mine in zip(shares, times, tokens, strict=True):
        assert often == 1 if share is None else mine / (text + sum(tokens)) == pytest.approx(share)


@given(st.integers(1, 50), st.floats(0.01, 6))
def test_spans_are_repeated_evenly(count, times):
    spans = np.stack((np.arange(count), np.arange(count) + 1), axis=1)
    found = np.bincount(repeated(spans, times)[:, 0], minlength=count)
    assert found.max() - found.min() <= 1 and found.sum() in (round(times * count), 1)


def test_a_mixed_base_has_learned_the_form(here):
    records = Chat.read(["chats_zh.jsonl"])
    kept = Chat.split(records, 0.1, 0)[1]
    losses = {}
    for mix in ((), ("chat=chats_zh.jsonl:0.4",)):
        # One tokenizer, so that the losses compare.
        run = pretrain(settings(task_mix=mix, tokenizer="bytes", context=256, steps=25,
                                output=here / f"run{len(mix)}"))  # fmt: skip
        assert run is not None
        model = package.load(run.run)
        task = Chat.of(records)
        examples = task.examples(model.tokenizer, kept, 256)
        from xinye.tasks.records import Examples

        losses[len(mix)] = task.losses(model.model, model.tokenizer, Examples(examples, 0))["loss"]
    assert losses[1] < 0.85 * losses[0], losses
