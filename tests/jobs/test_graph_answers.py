"""Answers from a knowledge graph: a tiny model finds the relations, the graph has the values."""

import json

import pytest

import xinye as package
from xinye import machine
from xinye.data.files import write_json_lines
from xinye.errors import XinyeError
from xinye.jobs.graph_answers import answer_from_graph, in_words, unknown_relations
from xinye.observer import Observer
from xinye.retrieval.graph import Graph
from xinye.retrieval.requests import Conversation
from xinye.tasks.task import Judged

TRIPLES = "天鹅酒店\t地址\t湖滨路2号\n天鹅酒店\t电话\t555-0134\n竹里馆\t电话\t555-0199\n"
ASKED = [
    ("地址在哪", ["地址"]),
    ("它的地址", ["地址"]),
    ("电话多少", ["电话"]),
    ("它的电话", ["电话"]),
    ("地址和电话", ["地址", "电话"]),
    ("价格多少", ["价格"]),
    ("你好", []),
    ("谢谢", []),
]


@pytest.fixture(scope="module")
def judged(trained, tmp_path_factory) -> Judged:
    """A classifier that knows the eight questions by heart."""
    folder = tmp_path_factory.mktemp("relations")
    rows = [{"text": text, "label": labels} for text, labels in ASKED]
    write_json_lines(folder / "asked.jsonl", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "matrix_flops_per_second", lambda *arguments, **named: 1e11)
        model = package.finetune(
            trained, folder / "run", task="classify", data=folder / "asked.jsonl",
            validation=folder / "asked.jsonl", epochs=30, evaluations=1, dropout=0.0,
            dtype="float32", learning_rate=0.01, progress=False,
        )  # fmt: skip
    return Judged(model.network, model.tokenizer, model.folder, Observer())


@pytest.fixture
def graph(tmp_path) -> Graph:
    (tmp_path / "city.tsv").write_text(TRIPLES, "utf-8")
    return Graph.read([tmp_path / "city.tsv"])


def test_several_requests_and_the_entity_of_an_earlier_turn(judged, graph):
    before = [
        {"role": "user", "content": "你好"},
        {"role": "assistant", "content": "推荐天鹅酒店。"},
    ]
    found = answer_from_graph(judged, graph, "地址和电话", before)
    assert found.text == "天鹅酒店的地址是湖滨路2号，电话是555-0134。" and not found.refused
    assert [fact.line for request in found.requests for fact in request.facts] == [1, 2]
    assert all(probability > 0.5 for probability in found.probabilities)


@pytest.mark.parametrize(
    ("question", "said", "reason"),
    [
        ("谢谢", "", "asks for no relation"),
        ("电话多少", "", "names an entity"),
        ("价格多少", "天鹅酒店很好。", "no triple of the graph has the relation '价格'"),
        ("食堂的电话多少", "天鹅酒店很好。", "the graph has no entity '食堂'"),
        ("它的地址", "去竹里馆。", "the graph does not say it: 竹里馆: 地址"),
    ],
)
def test_what_is_not_in_the_graph_is_refused_with_the_reason(judged, graph, question, said, reason):
    found = answer_from_graph(judged, graph, question, [{"role": "assistant", "content": said}])
    assert found.text == "" and reason in found.refused
    assert not found.requests or not found.requests[0].facts


def test_bad_input_gets_one_clear_line(judged, graph, trained, tmp_path):
    with pytest.raises(XinyeError, match="the question is empty"):
        answer_from_graph(judged, graph, " ")
    base = package.load(trained)
    with pytest.raises(XinyeError, match="finetune MODEL --task classify"):
        untaught = Judged(base.network, base.tokenizer, base.folder, Observer())
        answer_from_graph(untaught, graph, "地址在哪")
    (tmp_path / "typo.tsv").write_text(
        "竹里馆\t电活\t1\n竹里馆\t地址\t2\n竹里馆\t主人\t3\n", "utf-8"
    )
    typo, other = unknown_relations(judged, Graph.read([tmp_path / "typo.tsv"]))
    assert "typo.tsv, line 1: " in typo and "did you mean '电话'?" in typo
    assert "1 relation of the graph" in other and "主人" in other and "line 3" in other
    (tmp_path / "typo.tsv").write_text("竹里馆\t主人\t3\n", "utf-8")
    with pytest.raises(XinyeError, match="knows no relation of this graph"):
        unknown_relations(judged, Graph.read([tmp_path / "typo.tsv"]))


def test_answers_in_english_and_of_long_lists(tmp_path):
    rows = [["Swan Inn", {"phone": "555", "rooms": [str(n) for n in range(12)], "spa": []}]]
    (tmp_path / "a.json").write_text(json.dumps(rows), "utf-8")
    talk = Conversation(Graph.read([tmp_path / "a.json"]))
    requests = talk.ask("What are phone, rooms and spa of the Swan Inn?", ["phone", "rooms", "spa"])
    assert in_words(requests, chinese=False) == (
        "Swan Inn: phone 555; rooms 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more; spa not in the graph."
    )
    assert "等 12 项，spa是未知（图谱里没有）。" in in_words(requests, chinese=True)


def test_the_lines_of_a_file_are_one_conversation(judged, tmp_path, monkeypatch, xinye):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "city.tsv").write_text(TRIPLES, "utf-8")
    (tmp_path / "asked.txt").write_text(
        "竹里馆的电话多少\n它的地址\n天鹅酒店，地址和电话\n", "utf-8"
    )
    outcome = xinye("answer", judged.folder, "asked.txt", "--graph", "city.tsv")
    assert outcome.code == 0 and "竹里馆的电话是555-0199。\n  city.tsv:3" in outcome.out
    assert "no answer: the graph does not say it: 竹里馆: 地址" in outcome.out
    assert "天鹅酒店的地址是湖滨路2号，电话是555-0134。\n  city.tsv:1  city.tsv:2" in outcome.out
    outcome = xinye("answer", judged.folder, "电话多少", "--graph", "city.tsv", "--json")
    assert "names an entity" in json.loads(outcome.out)["results"][0]["refused"]
    complaint = xinye("answer", judged.folder, "电话", "--graph", "c.tsv").complaint
    assert "c.tsv: no such file" in complaint
