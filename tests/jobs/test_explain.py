"""Why a model decided: planted words that decide come first, scores add up, words stay whole."""

import json
import random
from pathlib import Path
from statistics import mean

import pytest
import torch

import xinye as package
from server.tiny_server import SHAPE
from xinye import machine
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.heads import Head, HeadConfig

DECIDE = {"好": "笑", "坏": "哭"}
OTHERS = "小兔小猫大家今天昨天去了山里看见花和树在河边说话"
TOKENIZER = Tokenizer.train(["送得快，汤还是热的。The soup is still hot."] * 9, "bpe")


def records(count: int, seed: int) -> list[dict[str, str]]:
    """Texts of random characters; one of two characters among them says the label."""
    chance, rows = random.Random(seed), []
    for number in range(count):
        label = "好坏"[number % 2]
        text = chance.choices(OTHERS, k=chance.randint(5, 12))
        text.insert(chance.randint(0, len(text)), DECIDE[label])
        rows.append({"text": "".join(text), "label": label})
    return rows


@pytest.fixture(scope="module")
def classifier(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> package.Model:
    """A classifier that learned which character decides."""
    folder = tmp_path_factory.mktemp("classifier")
    data = folder / "train.jsonl"
    data.write_text("\n".join(map(json.dumps, records(24, 1))), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "matrix_flops_per_second", lambda *arguments, **named: 1e11)
        return package.finetune(
            trained, folder / "run", data=data, validation=data, epochs=12, evaluations=1,
            dropout=0.0, dtype="float32", learning_rate=0.01, progress=False, mix_baseline=False,
        )  # fmt: skip


def untrained(kind: str, labels: tuple[str, ...], several: bool = False) -> package.Model:
    """A head with random weights over a tiny network."""
    torch.manual_seed(0)
    shape = type(SHAPE)(**{**vars(SHAPE), "vocab_size": TOKENIZER.vocab_size})
    head = Head(HeadConfig(shape, kind, labels, several))  # type: ignore[arg-type]
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    return package.Model(head, TOKENIZER, Path("untrained"))


def test_the_planted_word_is_first(classifier):
    for record in records(20, 2):
        [explanation] = classifier.explain(record["text"])
        assert explanation.decision == record["label"] and explanation.probability > 0.9
        first = explanation.strongest[0]
        assert first.text == DECIDE[record["label"]] and first.score > 0
        assert record["text"][first.start : first.end] == first.text
        total = sum(word.score for word in explanation.words) + explanation.rest
        assert total == pytest.approx(explanation.log_odds)


def test_without_the_first_word_the_model_is_less_sure_than_without_another(classifier):
    chance, drops = random.Random(0), {"first": [], "random": []}
    for record in records(20, 3):
        text = record["text"]
        [explanation] = classifier.explain(text)
        chosen = {"first": explanation.strongest[0], "random": chance.choice(explanation.words)}
        for name, word in chosen.items():
            without = text[: word.start] + text[word.end :]
            after = classifier.classify(without)["probabilities"][explanation.decision]
            drops[name].append(explanation.probability - after)
    assert mean(drops["first"]) > 0.3 > 2 * mean(drops["random"])


def test_another_label_has_the_opposite_scores(classifier):
    [good] = classifier.explain("今天小兔笑了")
    [bad] = classifier.explain("今天小兔笑了", label="坏")
    assert (good.decision, bad.decision) == ("好", "坏")
    assert [word.score for word in bad.words] == pytest.approx([-w.score for w in good.words])
    with pytest.raises(XinyeError, match="does not know the label '坏坏', only 坏, 好"):
        classifier.explain("今天", label="坏坏")


def test_a_long_text_is_cut_and_said_so(classifier):
    text = "小兔笑了。" * 30
    [explanation] = classifier.explain(text)
    read = [word for word in explanation.words if word.text != "。"]
    assert explanation.left_out > 100 and len(read) < 32
    assert all(text[word.start : word.end] == word.text for word in read)


def test_words_and_characters_stay_whole():
    text = "The soup is unbelievably hot, it's 送得快🐰的龘。"
    [explanation] = untrained("sequence", ("a", "b")).explain(text)
    words = [word.text for word in explanation.words]
    assert "".join(words) == text.replace(" ", "") and {"unbelievably", "it's", "🐰", "龘"} <= {
        *words
    }


def test_pairs_and_several_labels():
    [explanation] = untrained("sequence", ("a", "b")).explain(("送得快", "The soup is hot"))
    assert {word.input for word in explanation.words} == {0, 1}
    assert [word.text for word in explanation.words if word.input][-1] == "hot"
    several = untrained("sequence", ("a", "b", "c"), several=True)
    found = several.explain(["送得快", "The soup"])
    assert [[each.decision for each in explained] for explained in found] == [
        row["labels"] for row in several.classify(["送得快", "The soup"])
    ]
    [asked] = several.explain("送得快", label="b")
    probability = torch.tensor(asked.log_odds).sigmoid().item()
    assert probability == pytest.approx(asked.probability, abs=1e-5)


def test_each_entity_is_explained():
    tagger = untrained("token", ("O", "B-PER", "I-PER", "B-LOC"))
    text = "送得快，汤还是热的。The soup is hot."
    spans, found = tagger.tag(text), tagger.explain(text)
    assert spans and [(each.start, each.end, each.decision) for each in found] == [
        (span["start"], span["end"], span["type"]) for span in spans
    ]
    [one, *_] = tagger.explain(text, label=spans[0]["text"])
    assert (one.start, one.decision) == (spans[0]["start"], spans[0]["type"])
    with pytest.raises(XinyeError, match="no such span: the model does not know the type 'PRE'"):
        tagger.explain(text, label="PRE")
    with pytest.raises(XinyeError, match="reads one text, not a pair"):
        tagger.explain((text, text))
