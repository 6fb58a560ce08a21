"""The linear tagger beside a network: what it finds, what it learns from, and its file."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.nn.functional import one_hot

from xinye.checkpoints.huggingface import load_weights, save_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation.linear_tagger import LinearTagger, TaggedPieces, features_of
from xinye.evaluation.span_lexicon import LONGEST, Lexicon, counted
from xinye.evaluation.spans import Span
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import Head
from xinye.model.loss import IGNORED
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.tasks import tag_end, tag_mix
from xinye.tasks.exercises import notes
from xinye.tasks.records import Examples
from xinye.tasks.tag import Tag
from xinye.tasks.tag_spans import TaggedText, targets_of
from xinye.tasks.task import Figures, Trained

RECORDS = [
    TaggedText(
        row["text"],
        tuple(Span(each["start"], each["end"], each["type"]) for each in row["spans"]),
        f"notes, line {number}",
    )
    for number, row in enumerate(notes(120, "en"), start=1)
]
TRAINING, OTHERS = RECORDS[:80], RECORDS[80:]
TOKENIZER = Tag.tokenizer(Tokenizer.train([each.text for each in TRAINING] * 2, exact=False))
LABELS = Tag.of(TRAINING).labels


def network(architecture: str = "modern") -> Head:
    """A tagger's network that has learned nothing yet."""
    kv_heads = 4 if architecture == "gpt2" else 2
    shape = GPTConfig(architecture, TOKENIZER.vocab_size, 32, 1, 4, kv_heads, 8, 48, 128)
    base = GPT(shape)
    base.initialize(0)
    return Tag(LABELS).network(replace(shape, is_causal=False), base).eval()


def completed(folder: Path, **changes: object) -> tuple[Tag, Head, Figures]:
    """A task at the end of training, with the results. The validation records have their own
    file."""
    task, model = Tag(LABELS), network()
    settings = FinetuneSettings(**{"task": "tag", "validation": ("others.jsonl",), **changes})
    trained = Trained(model, TOKENIZER, TRAINING, OTHERS, 128, settings, folder)
    with torch.no_grad():  # as at the end of training
        return task, model, task.complete(trained)


def test_a_lexicon_does_not_find_what_it_knows_from_the_text_itself():
    texts = [(("New", " York", "!"), [(0, 2, 1)]), (("to", " new", " york"), [(1, 3, 1)])]
    lexicon = Lexicon(counted(texts, 2), most=2)
    own = counted(texts[:1], 2)
    for pieces in (("In", " New", " York", "."), ("New", " York")):
        assert lexicon.features(pieces).any()
        assert lexicon.features(pieces, own).any(), "the other text has it, too"
    alone = Lexicon(own, most=2)
    assert alone.features(("New", " York")).any()
    assert not alone.features(("New", " York"), own).any()


def test_a_lexicon_looks_for_spans_of_some_length_only():
    pieces = ["a"] * (LONGEST + 1)
    long, shorter = (
        Lexicon(counted([(pieces, [(0, size, 0)])], 1), most=10**18)
        for size in (LONGEST + 1, LONGEST)
    )
    assert not long.features(pieces).any() and shorter.features(pieces).any()


def test_the_linear_tagger_is_mixed_in_and_saved(tmp_path):
    task, model, results = completed(tmp_path)
    alone, linear = (each["span_f1"] for each in results["mixes"])
    assert results["measured"]["span_f1"] > max(alone, linear) - 0.05 > 0.55 > alone
    measured = task.measure(model, TOKENIZER, OTHERS, 128)
    assert measured["span_f1"] == pytest.approx(results["measured"]["span_f1"], abs=0.05)
    examples = Examples(task.examples(TOKENIZER, OTHERS, 128), TOKENIZER.pad_id)
    loss = task.losses(model, TOKENIZER, examples)["loss"]
    assert results["mixes"][0]["loss"] == pytest.approx(loss, rel=1e-4)
    assert 0 < results["measured"]["loss"] < loss
    texts = ["", *(record.text for record in OTHERS)]
    found = task.find(model, TOKENIZER, texts, 128)
    assert not found[0] and all(0 < share <= 1 for row in found for _, share in row)
    again = Tag.of_run(model, tmp_path).find(model, TOKENIZER, texts, 128)
    spans = [[[span for span, _ in row] for row in each] for each in (found, again)]
    assert spans[0] == spans[1]
    task.forget(tmp_path)
    assert Tag.of_run(model, tmp_path).mix is None


@pytest.mark.parametrize(("sign", "left_out", "kept"), [(1, "a linear tagger", 0), (-1, "GPT", 1)])
def test_a_part_that_gains_nothing_is_left_out(tmp_path, monkeypatch, sign, left_out, kept):
    """The network knows everything, or says the opposite."""
    number = {label: index for index, label in enumerate(LABELS)}

    def scores(model, tokenizer, segments):
        found = []
        for segment, record in zip(segments, OTHERS, strict=True):
            targets = torch.tensor(targets_of(segment.offsets, record.spans, number))
            found.append(sign * 100.0 * one_hot(targets[targets != IGNORED], len(LABELS)))
        return found

    monkeypatch.setattr(tag_end, "network_scores", scores)
    task, _, results = completed(tmp_path)
    assert f"{left_out} was left out" in results["compared"][0]
    assert (task.mix.share if task.mix else 0) == kept
    assert (tmp_path / "linear_tagger.safetensors").exists() == bool(kept)
    of_part = results["mixes"][kept]
    assert results["measured"]["span_f1"] == of_part["span_f1"] >= 0.6


def test_no_text_teaches_the_linear_tagger_that_it_is_in_the_lexicon_itself():
    texts = [
        TaggedPieces(("I", " met", f" {name}"), [0, 0, 1], [(2, 3, 0)])
        for name in ("Ann", "Bob", "Cy", "Dee", "Eve", "Flo")
    ]
    tagger = LinearTagger.learn(texts, 1, torch.zeros(5, 3), seed=0)
    for each in texts:
        own = counted([(each.pieces, each.spans)], 1)
        found, without = (
            {*features_of(each.pieces, features).ravel().tolist()}
            for features in (
                tagger.lexicon.features(each.pieces),
                tagger.lexicon.features(each.pieces, own),
            )
        )
        assert found - without and not (found - without) & {*tagger.features.tolist()}


def test_of_too_many_records_some_are_drawn(tmp_path, monkeypatch):
    """Those at the end, too, which may be the only ones of their kind."""
    monkeypatch.setattr(tag_mix, "MOST_TOKENS", 300)
    linear, count = tag_mix.learned(TOKENIZER, TRAINING, LABELS, 128, seed=0)
    first, _ = tag_mix.learned(TOKENIZER, TRAINING[:count], LABELS, 128, seed=0)
    assert 10 < count < 60 and linear.features.tolist() != first.features.tolist()
    results = completed(tmp_path)[2]
    assert f"learned from {count} of 80 training records" in results["compared"][1]


def test_the_saved_tagger_learns_from_validation_records_that_are_a_part_of_the_data(tmp_path):
    task, model, results = completed(tmp_path, validation=())
    measured = task.measure(model, TOKENIZER, OTHERS, 128)["span_f1"]
    assert measured > 0.9 > results["measured"]["span_f1"]
    assert task.learned(TRAINING, OTHERS) == [*TRAINING, *OTHERS]  # none of them is new to it
    assert Tag(LABELS).learned(TRAINING, OTHERS) == [*TRAINING]


def test_a_damaged_linear_tagger_is_refused(tmp_path):
    model = completed(tmp_path)[1]
    path = tmp_path / "linear_tagger.safetensors"
    tensors = load_file(path)
    for change, damage in (
        ({"weights": tensors["weights"][1:]}, "damaged file"),
        ({"transitions": tensors["transitions"] * torch.nan}, r"damaged .*transitions holds NaN"),
        ({"counts": tensors["counts"][1:]}, "damaged file"),
        ({"features": tensors["features"].flip(0)}, "damaged file"),
    ):
        save_file({**tensors, **change}, path)
        with pytest.raises(XinyeError, match=rf"linear_tagger\.safetensors: {damage}"):
            Tag.of_run(model, tmp_path)
    save_file(tensors, path)
    model.config = replace(model.config, labels=LABELS[:-2])
    with pytest.raises(XinyeError, match="other labels than the network"):
        Tag.of_run(model, tmp_path)


@pytest.mark.parametrize("architecture", ["modern", "gpt2"])
def test_others_load_a_folder_with_transitions(tmp_path, architecture):
    model = network(architecture)
    torch.nn.init.normal_(model.score.weight)
    model.score.transitions.data[:2] += 1.5
    save_model(tmp_path, model, TOKENIZER)
    loaded = load_weights(tmp_path)
    assert torch.equal(loaded.score.transitions, model.score.transitions)
    stock = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    tokens = torch.randint(0, TOKENIZER.vocab_size, (2, 9))
    expected = stock(input_ids=tokens).logits
    assert torch.allclose(loaded(tokens, torch.tensor([9, 9])), expected, atol=1e-4)
