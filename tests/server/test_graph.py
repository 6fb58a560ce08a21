"""Questions that are answered from a knowledge graph by HTTP."""

import json

import pytest
import torch

import xinye
from server.tiny_server import SHAPE, TOKENIZER, serving
from xinye.checkpoints.huggingface import save_model
from xinye.errors import XinyeError
from xinye.model.gpt import GPT
from xinye.model.heads import Head, HeadConfig
from xinye.retrieval.graph import Graph
from xinye.server.graph import ServedGraph

TRIPLES = "天鹅酒店\t地址\t湖滨路2号\n天鹅酒店\t电话\t555-0134\n竹里馆\t电话\t555-0199\n竹里馆\t地址\t山脚\n"
EARLIER = [
    {"role": "user", "content": "你好"},
    {"role": "assistant", "content": "推荐天鹅酒店。"},
]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder with a graph, and a model that finds in each question one of its two relations."""
    folder = tmp_path_factory.mktemp("graph")
    (folder / "city.tsv").write_text(TRIPLES, "utf-8")
    model = GPT(SHAPE)
    model.initialize(1)
    head = Head.over(model, HeadConfig(SHAPE, "sequence", ("地址", "电话")))
    head.score.weight.data.normal_(generator=torch.Generator().manual_seed(2))
    save_model(folder / "relations", head, TOKENIZER)
    return folder


@pytest.fixture(scope="module")
def server(folders, places):
    models = [folders[1], folders[3], str(places / "relations")]
    with serving(models, graph=str(places / "city.tsv")) as running:
        yield running


def ask(server, **asked):
    answer = server.http.post("/v1/tasks/answer", json={"model": "relations", **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_answers_are_those_of_the_library(server, places):
    model, graph = xinye.load(places / "relations"), Graph.read([places / "city.tsv"])
    questions = ["竹里馆呢？", "它在哪？"]
    named, meant = ask(server, input=questions, earlier=EARLIER)
    for question, answer in zip(questions, (named, meant), strict=True):
        expected = model.answer(question, knowledge=graph, earlier=EARLIER)
        assert (answer["question"], answer["text"]) == (question, expected.text)
        assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
        [request] = answer["requests"]
        [fact] = request["facts"]
        assert fact["tail"] in answer["text"] and fact["file"] == "city.tsv"
    assert named["text"].startswith("竹里馆") and meant["text"].startswith("天鹅酒店")
    (alone,) = ask(server, input="它在哪？")
    assert alone["text"] == "" and "names an entity" in alone["refused"]
    parts = [{"role": "user", "content": [{"type": "text", "text": "去竹里馆。"}]}]
    assert ask(server, input="它在哪？", earlier=parts)[0]["text"].startswith("竹里馆")
    assert str(places) not in json.dumps([named, meant])


def test_only_a_model_that_knows_its_relations_answers_from_a_graph(server, folders, places):
    listed = server.http.get("/v1/models").json()["data"]
    tasks = {model["id"]: model["tasks"] for model in listed}
    assert (
        tasks["relations"] == ["classify", "answer", "embed"] and "answer" not in tasks["reviews"]
    )
    answer = server.http.post("/v1/tasks/classify", json={"model": "relations", "input": "在哪？"})
    assert answer.json()["data"][0]["label"] in ("地址", "电话")
    (read,) = ask(server, model="reader", input="叶？", passage="叶住在树上。")
    assert read["found"]
    other = {"reviews": server.app.state.models["reviews"]}
    with pytest.raises(XinyeError, match="knows no relation of this graph"):
        ServedGraph.read(str(places / "city.tsv"), other)
    with pytest.raises(XinyeError, match="serve one that was fine-tuned with --task classify"):
        ServedGraph.read(str(places / "city.tsv"), {})


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"passage": "叶"}, "passage", "has no effect on a graph"),
        ({"knowledge": "kb"}, "knowledge", "has no effect on a graph"),
        ({"n": 2}, "n", "has no effect on a graph"),
        ({"input": " "}, "input", "the question is empty"),
        ({"earlier": [{"role": "boss", "content": ""}]}, "earlier.0.role", "assistant"),
        ({"earlier": [{"role": "user"}]}, "earlier.0", "is missing"),
        ({"earlier": EARLIER * 26}, "earlier", "at most 50 items"),
        ({"earlier": [{"role": "user", "content": "叶" * 20_001}]}, "earlier", "20,000 characters"),
        ({"earlier": "你好"}, "earlier", "valid list"),
        ({"input": ["叶？"] * 1100, "earlier": EARLIER}, "input", "times earlier ones"),
        ({"model": "reader", "earlier": EARLIER}, "earlier", "only a model that answers from a graph"),
        ({"model": "reviews"}, "model", "not answer"),
    ],
)  # fmt: skip
def test_what_is_refused(server, body, param, words):
    asked = {"model": "relations", "input": "叶？"} | body
    answer = server.http.post("/v1/tasks/answer", json=asked)
    told = answer.json()["error"]
    assert (answer.status_code, told["param"]) == (400, param), told
    assert words in told["message"] and "\n" not in told["message"]


def test_odd_messages_are_text(server):
    for content in ("", " ", "\0", "叶" * 20_000, "天鹅酒店" * 5000):
        earlier = [{"role": role, "content": content} for role in ("system", "user", "assistant")]
        status = server.http.post(
            "/v1/tasks/answer", json={"model": "relations", "input": "它？", "earlier": earlier[:2]}
        ).status_code
        assert status == 200
