"""`--task-mix`: records are read as in fine-tuning, the validation text stays as it is, and a model
that has read the form of a task is better at it."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import TINY
from training.test_pretrain import Interrupting
from xinye.checkpoints.huggingface import load_model
from xinye.data.batches import IGNORED
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.observer import Observer
from xinye.planning.config_file import read_config
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.tasks.chat import Chat
from xinye.tasks.classify import Classify
from xinye.tasks.exercises import chats, reviews
from xinye.tasks.records import Examples
from xinye.tasks.task_mix import mix_in, read_mixes, repeated, repetitions
from xinye.tasks.text import prepare_text
from xinye.training.train import pretrain

LANGUAGES = ("zh", "en")
WIDE = (*TINY, "--context", "128")  # chats fit


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
    mixes = read_mixes(asked, Observer())
    windows, facts = mix_in(text.training, text.tokenizer, mixes, Draft(), Observer())
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


def test_records_of_several_files_are_kept_apart_as_in_fine_tuning(here):
    lines = Path("chats_zh.jsonl").read_text("utf-8").splitlines()
    Path("a.jsonl").write_text("\n".join(lines[:40]), "utf-8")
    Path("b.jsonl").write_text("\n".join(lines[40:]), "utf-8")
    mixes = read_mixes(settings(task_mix={"chat": ["a.jsonl", "b.jsonl:0.2"]}), Observer())
    training, _ = Chat.split(Chat.read(["a.jsonl", "b.jsonl"]), 0.1, 0)
    assert [mixed.asked.file for mixed in mixes] == ["a.jsonl", "b.jsonl"]
    mixed_in = [record.whole for mixed in mixes for record in mixed.records]
    assert sorted(mixed_in) == sorted(record.whole for record in training)


def test_a_tokenizer_reads_prompts_and_answers(here):
    Path("pairs.jsonl").write_text(
        '{"source": "I drink tea.", "target": "我喝茶。"}\n' * 9, "utf-8"
    )
    [mixed] = read_mixes(settings(task_mix="translate=pairs.jsonl"), Observer())
    read = set("".join(mixed.texts()))
    assert read >= set("我喝茶。") | set("I drink tea.") and len(read) > len(
        set("我喝茶。I drink tea.")
    )


def test_a_labelled_text_is_read_without_its_label(here):
    text, windows, _ = mixed_text(settings(task_mix=("classify=reviews_zh.jsonl",)))
    record = Classify.split(Classify.read(["reviews_zh.jsonl"]), 0.1, 0)[0][0]
    ids = text.tokenizer.encode(record.text)
    assert any(predicted[: len(ids)] == tuple(ids) for _, predicted in rows_of(windows))


def test_a_base_never_reads_the_errors_of_a_proofreader(here):
    pairs = (("我们去公圆玩", "我们去公园玩"), ("I sea it", "I see it"))
    lines = [f"{wrong}\t{right}" for wrong, right in pairs * 9]
    Path("pairs.tsv").write_text("\n".join(["wrong\tright", *lines]), "utf-8")
    text, windows, _ = mixed_text(settings(task_mix=("proofread=pairs.tsv:.5",)))
    read = [text.tokenizer.decode(list(predicted)) for _, predicted in rows_of(windows)]
    assert any("公园" in each for each in read) and any("see it" in each for each in read)
    assert not any("公圆" in each or "sea it" in each for each in read)


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
    assert found.max() - found.min() <= 1 and abs(found.sum() - max(1, times * count)) <= 1


def test_a_file_is_read_once_for_tokenizer_and_training(here, monkeypatch):
    opened, read = [], Chat.read
    monkeypatch.setattr(Chat, "read", lambda files, *more, **named: opened.append(files)
                        or read(files, *more, **named))  # fmt: skip
    trained(here / "run", task_mix=("chat=chats_zh.jsonl",), steps=2)
    assert opened == [("chats_zh.jsonl",)]
    [mixed] = read_mixes(settings(task_mix="chat=chats_zh.jsonl"), Observer())
    said = {*"".join(mixed.texts())}
    new = said - {*Path("zh.txt").read_text("utf-8")}
    tokens = Tokenizer.load(here / "run")
    assert new and all(len(tokens.encode(each)) == 1 for each in new)


def trained(folder, **changes):
    run = pretrain(settings(output=folder, **changes))
    assert run is not None
    return folder


def test_a_mixed_base_has_learned_the_form(here):
    records = Chat.read(["chats_zh.jsonl"])
    task, kept = Chat.of(records), Chat.split(records, 0.1, 0)[1]
    losses = []
    for number, mix in enumerate([(), ("chat=chats_zh.jsonl:0.4",)]):
        # With the same tokens, so that the losses compare.
        run = trained(here / f"run{number}", task_mix=mix, tokenizer="bytes", steps=20)
        tokenizer = Tokenizer.load(run)
        examples = Examples(task.examples(tokenizer, kept, 128), tokenizer.pad_id)
        losses.append(task.losses(load_model(run)[0], tokenizer, examples)["loss"])
    assert losses[1] < 0.85 * losses[0], losses


def test_resumed_bitwise_with_the_same_records_only(here):
    mix = {"task_mix": {"chat": "chats_zh.jsonl"}, "evaluations": 3, "dropout": 0.1}
    whole = trained(here / "whole", **mix)
    pretrain(settings(output=here / "part", **mix), Interrupting(after=4))
    Path("chats_zh.jsonl").rename("moved.jsonl")
    moved = PretrainSettings(output=here / "part", task_mix=("chat=moved.jsonl",))
    for other in (("chat=moved.jsonl:0.5",), ("chat=chats_en.jsonl",)):
        with pytest.raises(XinyeError, match="the records or shares of --task-mix have changed"):
            pretrain(moved.model_copy(update={"task_mix": other}), resume=True)
    pretrain(moved, resume=True)
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole, here / "part")]
    assert weights[0] == weights[1]


def test_plan_report_and_card_say_what_was_mixed_in(here, xinye):
    flags = ("--task-mix", "chat=chats_zh.jsonl", "--task-mix", "classify=reviews_zh.jsonl:0.1")
    dry = xinye("pretrain", "zh.txt", *WIDE, *flags, "--steps", "2", "--dry-run")
    assert "10.2% for classify: 72 records" in dry.err, dry.err
    done = xinye("pretrain", "zh.txt", *WIDE, *flags, "--steps", "2", "-o", "run")
    assert done.code == 0
    card = Path("run/README.md").read_text("utf-8")
    assert "10.2 % of them are 72 records of the task `classify` (`reviews_zh.jsonl`)" in card
    assert "其中 10.2% 来自任务 `classify` 的 72 条样本" in card
    assert "（任务 classify）" in Path("run/report.html").read_text("utf-8")
    again = xinye("runs", "show", "run").out
    assert "--task-mix chat=chats_zh.jsonl --task-mix classify=reviews_zh.jsonl:0.1" in again
    Path("chats_zh.jsonl").unlink()  # evaluating needs the text alone
    judged = xinye("evaluate", "run")
    assert judged.code == 0 and "not available" not in judged.err


@pytest.mark.parametrize(
    "given, said",
    [
        ("chatt=chats_zh.jsonl", "task: 'chatt' is unknown; choose"),
        ("chat=none.jsonl", "none.jsonl: no such file"),
        ("chat", "'chat' is not a task with its file, such as summarize=titles.jsonl"),
        ("text=zh.txt", "the task text has no records; give zh.txt as a text"),
        ("chat=chats_zh.jsonl:1", "the share of the tokens must be above 0 and at most 0.9"),
        ("chat=empty.jsonl", "empty.jsonl: no records in it"),
    ],
)
def test_a_mix_that_cannot_be(here, xinye, given, said):
    Path("empty.jsonl").write_text("", "utf-8")
    assert said in xinye("pretrain", "zh.txt", *WIDE, "--task-mix", given).complaint


def test_the_setting_in_python_and_in_a_file(here):
    asked = {"chat": ["a.jsonl", "b.jsonl:0.2"], "classify": Path("c.csv")}
    assert PretrainSettings(task_mix=asked).task_mix == (
        "chat=a.jsonl", "chat=b.jsonl:0.2", "classify=c.csv"
    )  # fmt: skip
    Path("run.yaml").write_text("task_mix:\n  chat: a.jsonl\n", "utf-8")
    assert PretrainSettings(**read_config(Path("run.yaml"))).task_mix == ("chat=a.jsonl",)
