"""Training texts are changed anew each time, by nothing but the sample; what belongs together stays
together."""

import itertools

import pytest

from xinye.data.tokenizer import Tokenizer
from xinye.evaluation.spans import Span
from xinye.tasks.classify import Classify
from xinye.tasks.classify_records import LabelledText
from xinye.tasks.records import UNCHANGED, Augmentation, Example, Examples
from xinye.tasks.tag import Tag
from xinye.tasks.tag_spans import TaggedText

TEXT = "很好吃！下次再来。He said: stop. It's 3.5 km… 真的吗？对"
TOKENIZER = Tokenizer.train([TEXT + "你我他"], kind="char")
TASK = Classify(["a", "b"], several=False)
REVIEW = LabelledText(TEXT, "", ("a",), "")
CHANGES = {
    "mask": Augmentation(mask_tokens=0.5),
    "crop": Augmentation(crop_tokens=0.5),
    "shuffle": Augmentation(shuffle_texts=1.0),
    "all": Augmentation(0.2, 0.3, 0.5),
}


def examples(
    record: LabelledText = REVIEW, how: Augmentation = UNCHANGED, seed: int = 0
) -> Examples:
    return Examples(TASK.examples(TOKENIZER, [record], 64), TOKENIZER.pad_id, seed, how)


def read(changed: Example) -> str:
    return TOKENIZER.decode(changed.tokens)


def test_sentences_begin_where_a_person_sees_it():
    example = examples().examples[0]
    borders = example.sentences
    parts = [TOKENIZER.decode(example.tokens[a:b]) for a, b in itertools.pairwise(borders)]
    assert [part.strip() for part in parts] == [
        "很好吃！",
        "下次再来。",
        "He said: stop.",
        "It's 3.5 km…",
        "真的吗？",
        "对",
    ]


@pytest.mark.parametrize("how", CHANGES)
def test_a_sample_is_changed_always_alike_and_each_otherwise(how):
    one, again, other = (examples(how=CHANGES[how], seed=seed) for seed in (1, 1, 2))
    texts = [read(one.augmented(sample, 0)) for sample in range(20)]
    assert texts == [read(again.augmented(sample, 0)) for sample in reversed(range(20))][::-1]
    assert len(set(texts)) > 5 and texts != [
        read(other.augmented(sample, 0)) for sample in range(20)
    ]
    batches = [batch.tokens.tolist() for batch in one.micro_batches(4, 3, 2)]
    assert batches == [batch.tokens.tolist() for batch in again.micro_batches(4, 3, 2)]
    tokens = examples().examples[0].tokens
    for sample in range(20):
        changed = one.augmented(sample, 0)
        assert changed.tokens[0] == tokens[0] and changed.targets == 0


def test_what_each_kind_does():
    whole = examples().examples[0]
    for sample in range(50):
        masked = examples(how=CHANGES["mask"]).augmented(sample, 0)
        same = [a == b for a, b in zip(masked.tokens, whole.tokens, strict=True)]
        assert set(masked.tokens) <= {*whole.tokens, TOKENIZER.pad_id} and not all(same)
        cropped = read(examples(how=CHANGES["crop"]).augmented(sample, 0))
        assert cropped in TEXT and len(cropped) >= len(TEXT) / 2
        shuffled = examples(how=CHANGES["shuffle"]).augmented(sample, 0)
        assert sorted(shuffled.tokens) == sorted(whole.tokens) and "下次再来。" in read(shuffled)
    assert (
        examples().augmented(3, 0) is examples().examples[0] or examples().augmented(3, 0) == whole
    )


def test_a_pair_keeps_its_order():
    pair = examples(LabelledText("你。我。", "他。", ("a",), ""), Augmentation(0.0, 0.5, 1.0))
    assert {tuple(pair.augmented(sample, 0).tokens) for sample in range(9)} == {
        tuple(pair.examples[0].tokens)
    }


def test_spans_move_whole_and_with_their_tags():
    text = "He said: stop. 很好吃！下次 再来。真的吗？"
    spans = {"said: stop": "x", "好吃": "y", "下次 再来": "x", "真的": "y"}
    record = TaggedText(
        text,
        tuple(Span(text.index(w), text.index(w) + len(w), kind) for w, kind in spans.items()),
        "",
    )
    task = Tag.of([record])
    learned = Examples(
        task.examples(TOKENIZER, [record], 64), TOKENIZER.pad_id, 0, Augmentation(0.0, 0.6, 1.0)
    )
    seen = set()
    for sample in range(60):
        changed = learned.augmented(sample, 0)
        found: list[tuple[str, list[int]]] = []
        for token, target in zip(changed.tokens, changed.targets, strict=True):  # type: ignore[arg-type]
            tag = task.labels[target] if target >= 0 else ""
            if tag.startswith("B-"):
                found.append((tag[2:], []))
            if found and tag != "O":
                found[-1][1].append(token)
        words = {TOKENIZER.decode(tokens).strip(): kind for kind, tokens in found}
        assert words.items() <= spans.items(), read(changed)
        seen |= words.keys()
    assert seen == spans.keys()
