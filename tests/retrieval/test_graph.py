"""Knowledge graphs: triples of every form, names as people write them, and what a question in a
conversation asks for."""

import json
from pathlib import Path

import pytest

from xinye.errors import XinyeError
from xinye.retrieval.entities import Names
from xinye.retrieval.graph import Fact, Graph
from xinye.retrieval.requests import Conversation

CITY = [
    ["天鹅酒店", {"类型": "酒店", "电话": "555-0134", "设施": ["桑拿", "停车场"], "价格": 480,
                  "周边餐馆": ["柳树饭庄（湖滨店）", "竹里馆"]}],
    ["柳树饭庄（湖滨店）", {"类型": "餐馆", "电话": "555-0177", "地址": "天鹅酒店对面", "周边餐馆": []}],
    ["竹里馆", {"类型": "餐馆", "电话": "555-0199", "地址": "竹巷3号", "周边餐馆": None}],
]  # fmt: skip


@pytest.fixture
def city(tmp_path) -> Graph:
    (tmp_path / "city.json").write_text(json.dumps(CITY, ensure_ascii=False, indent=1), "utf-8")
    return Graph.read([tmp_path / "city.json"])


def tails(graph: Graph, entity: str, relation: str) -> list[str]:
    return [fact.tail for fact in graph.facts(entity, relation)]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.tsv", "Swan Inn\tphone\t555-0134\nSwan Inn\tpool\tyes\n", 1),
        ("a.tsv", "subject\tpredicate\tobject\nSwan Inn\tphone\t555-0134\n", 2),
        ("a.csv", "关系,尾实体,头实体\nphone,555-0134,Swan Inn\n", 2),
        ("a.jsonl", '["Swan Inn", "phone", "555-0134"]\n["Fox", "phone", 7]\n', 1),
        ("a.json", '[{"head": "Swan Inn", "relation": "phone", "tail": "555-0134"}]', 1),
        ("a.json", '[\n ["Swan Inn", {"phone": ["555-0134"], "pool": []}]\n]', 2),
    ],
)
def test_all_forms_of_triples_keep_their_place(tmp_path, name, text, line):
    path = tmp_path / name
    path.write_text(text, "utf-8")
    (fact,) = Graph.read([tmp_path]).facts("Swan Inn", "phone")
    assert (fact.tail, Path(fact.file), fact.line) == ("555-0134", path, line)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("故宫\t电话\t1\n故宫\t地址\n", "a.tsv, line 2: "),
        ("故宫\t电话\t1\n\t地址\t2\n", "a.tsv, line 2: the head of the triple is empty"),
        ("", "there are no triples"),
        (
            "故宫\t电话\t1\n" + "故" * 201 + "\t电话\t1\n",
            "line 2: the head .* 201 characters; .* 200",
        ),
    ],
)
def test_what_is_not_a_triple_is_refused_with_its_line(tmp_path, text, complaint):
    (tmp_path / "a.tsv").write_text(text, "utf-8")
    with pytest.raises(XinyeError, match=complaint):
        Graph.read([tmp_path / "a.tsv"])


def test_nested_values_and_other_records_are_refused(tmp_path):
    nested, not_finite = ["故宫", {"电话": {"白天": "1"}}], ["故宫", "票价", float("nan")]
    for record in (nested, {"name": "故宫"}, ["故宫", "电话"], not_finite):
        path = tmp_path / "a.jsonl"
        path.write_text(json.dumps(["天坛", "电话", "2"]) + "\n" + json.dumps(record), "utf-8")
        with pytest.raises(XinyeError, match=r"a\.jsonl, line 2: "):
            Graph.read([path])


def test_names_are_found_longest_first_without_brackets_and_similar():
    names = Names(["天鹅", "天鹅酒店", "柳树饭庄（湖滨店）", "海湖（南）", "海湖（北）", "May Inn"])
    assert names.within("从天鹅酒店到柳树饭庄(湖滨店)") == ["天鹅酒店", "柳树饭庄（湖滨店）"]
    assert names.within("柳树饭庄远吗") == ["柳树饭庄（湖滨店）"]
    assert names.within("海湖远吗") == []  # there are two
    assert names.within("the may inn, maybe") == ["May Inn"]
    assert names.within("display innocent") == []  # parts of other words
    assert names.similar("柳树饭店湖滨店的电话") == ["柳树饭庄（湖滨店）"]
    assert names.similar("今天天气好吗") == []


def asked(conversation: Conversation, question: str, *relations: str) -> list[tuple[str, ...]]:
    return [
        (each.entity, each.relation, each.value, *(fact.tail for fact in each.facts))
        for each in conversation.ask(question, relations)
    ]


def test_a_conversation_carries_the_entity(city):
    talk = Conversation(city)
    assert asked(talk, "电话是多少？", "电话") == []
    assert asked(talk, "天鹅酒店周边有什么餐馆？", "周边餐馆") == [
        ("天鹅酒店", "周边餐馆", "", "柳树饭庄（湖滨店）", "竹里馆")
    ]
    talk.reply("周边有柳树饭庄（湖滨店）和竹里馆。")
    # what the reply lists is not what the conversation is about, unless only that fits
    assert asked(talk, "它的价格和电话呢？", "价格", "电话") == [
        ("天鹅酒店", "价格", "", "480"),
        ("天鹅酒店", "电话", "", "555-0134"),
    ]
    assert asked(talk, "去竹里馆吧，电话和地址？", "电话", "地址")[1][-1] == "竹巷3号"
    assert asked(talk, "酒店的电话再说一遍", "电话") == [("天鹅酒店", "电话", "", "555-0134")]
    assert asked(talk, "柳树饭庄的地址？", "地址")[0][-1] == "天鹅酒店对面"
    talk.reply("地址是天鹅酒店对面。")  # the address only mentions the hotel
    assert asked(talk, "电话呢？", "电话") == [("柳树饭庄（湖滨店）", "电话", "", "555-0177")]
    assert asked(talk, "周边还有餐馆吗？", "周边餐馆") == [("柳树饭庄（湖滨店）", "周边餐馆", "")]


def test_a_question_whether_an_entity_has_a_value(city):
    talk = Conversation(city)
    assert asked(talk, "天鹅酒店有桑拿吗？", "设施") == [("天鹅酒店", "设施", "桑拿", "桑拿")]
    assert asked(talk, "竹里馆有停车场吗？", "设施") == [("竹里馆", "设施", "停车场")]
    assert asked(talk, "天鹅酒店有哪些设施？", "设施")[0][3:] == ("桑拿", "停车场")


def test_two_similar_names_are_not_guessed(tmp_path):
    (tmp_path / "a.tsv").write_text("白鹭宾馆东店\t电话\t1\n白鹭宾馆西店\t电话\t2\n", "utf-8")
    talk = Conversation(Graph.read([tmp_path / "a.tsv"]))
    assert asked(talk, "白鹭宾馆的电话？", "电话") == []
    assert talk.unsure == ["白鹭宾馆东店", "白鹭宾馆西店"]


def test_a_large_graph_is_asked_in_little_time():
    names = Names([f"北京{number}x店" for number in range(30_000)] + ["a" + " " * 30_000 + "x"])
    assert names.within("北京" * 1000) == [] == names.similar("北京" * 1000)
    assert names.within("北京" * 900 + "北京7x店吗") == ["北京7x店"]
    talk = Conversation(Graph([Fact(name, "电话", "1", "a.tsv", 1) for name in names.names]))
    assert len(asked(talk, "、".join(names.names[:200]), "电话")) == 200
    assert asked(talk, "北京" * 1000, "电话")[0][1:] == ("电话", "", "1")


@pytest.mark.parametrize(
    ("question", "unknown"),
    [
        ("食堂的地址在哪里？", "食堂"),
        ("请问那食堂在哪？", "食堂"),
        ("好的，希尔顿酒店的电话是多少？", "希尔顿酒店"),
        ("食堂有停车场吗？", "食堂"),
        ("Where is the Canteen?", "Canteen"),
        ("What is the 地址 of Fox Hall, please?", ""),  # mixed, so read as Chinese
        ("What is the canteen's address?", "canteen"),
        ("And the phone number of Fox Hall?", "Fox Hall"),
        ("它的地址在哪里？", ""),
        ("这家酒店的地址呢？", ""),
        ("酒店的具体位置在哪里？", ""),
        ("好的，没关系的，地址是哪里？", ""),
        ("我喜欢免费的，有停车场吗？", ""),
        ("天鹅的地址呢？", ""),
        ("What is its address?", ""),
        ("What's the address, and where is it?", ""),
        ("the address of the hotel", ""),
        ("And the address?", ""),
    ],
)
def test_an_earlier_entity_does_not_answer_for_an_unknown_one(tmp_path, question, unknown):
    rows = [
        ["天鹅酒店", {"类型": "酒店", "地址": "湖滨路2号", "电话": "1", "设施": "停车场"}],
        ["Swan Inn", {"kind": "hotel", "address": "2 Lake Road", "phone number": "2"}],
    ]
    (tmp_path / "a.json").write_text(json.dumps(rows), "utf-8")
    talk = Conversation(Graph.read([tmp_path / "a.json"]))
    english = question.isascii()
    relation = "address" if english else "地址"
    talk.ask("Swan Inn?" if english else "天鹅酒店？", [relation])
    found = talk.ask(question, [relation])
    assert (talk.unknown, bool(found)) == (unknown, not unknown)
    if unknown:  # the conversation is about it until another is named
        assert not talk.ask("它的地址呢？", [relation]) and talk.unknown == unknown
        assert talk.ask("天鹅酒店呢？", [relation]) and not talk.unknown
