"""Tokens, embeddings, tasks, and the server's own state."""

import base64
import json
import shutil

import numpy as np
import pytest

import xinye
from server.tiny_server import TOKENIZER, serving
from xinye.server.worker import Job
from xinye.tasks.text_to_text import Work
from xinye.tasks.write import Write


def test_embeddings_are_the_mean_of_the_last_layer(server, folders):
    network = xinye.load(folders[0], "float32").gpt
    import torch

    tokens = [*TOKENIZER.prefix, *TOKENIZER.encode("一片新叶")]
    expected = network.hidden(torch.tensor([tokens]))[0, len(TOKENIZER.prefix) :].mean(0).tolist()
    # the client asks for base64
    answer = server.openai.embeddings.create(model="tiny", input=["一片新叶", "leaf"])
    assert (
        answer.data[0].embedding == pytest.approx(expected, abs=1e-5) and answer.data[1].index == 1
    )
    assert answer.usage.prompt_tokens == len(tokens) + len(TOKENIZER.prefix) + len(
        TOKENIZER.encode("leaf")
    )
    plain = (
        server.openai.embeddings.create(model="tiny", input="leaf", encoding_format="float")
        .data[0]
        .embedding
    )
    assert plain == pytest.approx(answer.data[1].embedding, abs=1e-6)
    assert (
        server.openai.embeddings.create(model="reviews", input=[TOKENIZER.encode("leaf")])
        .data[0]
        .embedding
    )
    raw = server.http.post(
        "/v1/embeddings", json={"model": "tiny", "input": "leaf", "encoding_format": "base64"}
    )
    assert np.frombuffer(
        base64.b64decode(raw.json()["data"][0]["embedding"]), "<f4"
    ).tolist() == pytest.approx(plain)


def test_tokens_and_back(server):
    def ask(path, **body):
        return server.http.post(path, json={"model": "tiny", **body}).json()

    tokens = ask("/tokenize", prompt="新叶 leaf")
    assert tokens["tokens"] == [*TOKENIZER.prefix, *TOKENIZER.encode("新叶 leaf")]
    assert tokens["count"] == len(tokens["tokens"]) and tokens["max_model_len"] == 256
    assert ask("/detokenize", tokens=tokens["tokens"]) == {"prompt": "新叶 leaf"}
    plain = ask("/tokenize", prompt="<eos>", add_special_tokens=False)["tokens"]
    assert plain == TOKENIZER.encode("<eos>") and TOKENIZER.eos_id not in plain
    messages = [{"role": "user", "content": "你好"}]
    assert ask("/tokenize", messages=messages)["tokens"] == TOKENIZER.encode_chat(messages)


def test_tasks_are_those_of_the_library(server, folders):
    texts = ["从前有一片新叶", "hello leaf"]
    judged = server.http.post(
        "/v1/tasks/classify", json={"model": "reviews", "input": texts}
    ).json()
    expected = xinye.load(folders[1]).classify(texts)
    assert [each["label"] for each in judged["data"]] == [each["label"] for each in expected]
    assert judged["data"][0]["probabilities"] == pytest.approx(expected[0]["probabilities"])
    pair = {"model": "reviews", "input": [texts]}
    assert server.http.post("/v1/tasks/classify", json=pair).json()["data"][0]["label"] in (
        "好",
        "坏",
    )
    tagged = server.http.post("/v1/tasks/tag", json={"model": "names", "input": texts[0]}).json()
    assert [[each["text"] for each in row] for row in tagged["data"]] == [
        [each["text"] for each in xinye.load(folders[2]).tag(texts[0])]
    ]


def test_a_pair_is_refused_by_a_model_of_single_texts(folders, tmp_path):
    folder = shutil.copytree(folders[1], tmp_path / "single")
    (folder / "training").mkdir()
    about = {"recipe": "finetune", "settings": {"task": "classify"}, "data": {"pairs": False}}
    (folder / "training" / "settings.json").write_text(json.dumps(about))
    asked = {"model": "single", "input": ["好", ["好", "坏"]]}
    with serving([str(folder)]) as server:
        answer = server.http.post("/v1/tasks/classify", json=asked)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "input")
    assert "was trained on single texts" in error["message"] and str(folder) not in answer.text


def test_a_task_that_writes_is_answered_by_the_engine(server):
    asked = {"model": "tiny", "input": ["你好", "hello"]}
    data = server.http.post("/v1/tasks/chat", json=asked).json()["data"]
    chats = [
        server.openai.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": text}], temperature=0
        ).choices[0]
        for text in asked["input"]
    ]
    assert data == [
        {"text": chat.message.content.strip(), "ended": chat.finish_reason == "stop"}
        for chat in chats
    ]


@pytest.fixture(scope="module")
def writers(folders, tmp_path_factory):
    """A server of one model that counts as trained to translate, and again as trained to write or to
    summarize."""
    root, names = tmp_path_factory.mktemp("writers"), []
    for verb in ("translate", "write", "summarize"):
        folder = shutil.copytree(folders[0], root / verb)
        (folder / "training").mkdir()
        about = {"recipe": "finetune", "settings": {"task": verb}}
        (folder / "training" / "settings.json").write_text(json.dumps(about))
        names.append(str(folder))
    with serving(names, max_tokens=600) as server:
        yield server


FIVE = "从前有一片新叶。住在树上。新叶有新叶。树上有叶。从前有树。"


def test_a_text_of_five_sentences_is_translated_with_the_usual_candidates(writers):
    def ask(text, **settings):
        asked = {"model": "translate", "input": text, "settings": settings}
        return writers.http.post("/v1/tasks/translate", json=asked)

    answer = ask(FIVE, max_tokens=4)
    assert answer.status_code == 200 and answer.json()["data"][0]["translate"], answer.text
    refused = ask(FIVE, candidates=33).json()["error"]
    assert refused["param"] == "settings" and "at most 32 candidates" in refused["message"]
    assert ask(["新叶。"] * 33).json()["error"]["message"] == "input: at most 32 texts are allowed"
    assert "too many sentences" in ask(FIVE * 20, candidates=32).text
    assert "already; use settings.to en" in ask(FIVE, to="zh").text
    mixed = ask("从前有一片新叶住在树上 old tree, green leaf", max_tokens=4).json()["data"][0]
    assert mixed["notes"][0].endswith("To choose: settings.to")


def test_summaries_of_parts_are_written_again_in_rounds(writers, monkeypatch):
    jobs = []
    monkeypatch.setattr(Job, "finish", lambda job, do=Job.finish: jobs.append(job) or do(job))
    asked = {"characters": 1, "free": True, "max_tokens": 16}
    body = {"model": "summarize", "input": FIVE * 20, "settings": asked}
    answer = writers.http.post("/v1/tasks/summarize", json=body)
    assert answer.status_code == 200 and len(answer.json()["data"][0]["summarize"]) == 1
    assert len(jobs) > 1, answer.text
    assert all(len(job.sequences) <= 32 for job in jobs)


def test_a_text_may_be_as_long_as_is_asked_for(writers, monkeypatch):
    limits = []
    monkeypatch.setattr(
        Write, "begin", lambda *given: limits.append(given[-1].max_tokens) or Work("", None, [], 64)
    )
    monkeypatch.setattr(Write, "end", lambda *given: {"text": "", "notes": []})
    for characters in (100, 190, 10_000):
        asked = {"model": "write", "input": "树：新叶", "settings": {"characters": characters}}
        assert writers.http.post("/v1/tasks/write", json=asked).status_code == 200
    assert limits == [300, 570, 600]


def test_state(server):
    assert server.http.get("/health").json() == server.http.get("/ready").json() == {"status": "ok"}
    server.openai.completions.create(model="tiny", prompt="新", max_tokens=3)
    figures = server.http.get("/metrics").text
    assert 'xinye_requests_total{route="/v1/completions",status="200"}' in figures
    assert (
        'xinye_running{model="tiny"} 0.0' in figures
        and 'xinye_completion_tokens_total{model="tiny"}' in figures
    )
