"""`xinye chat --knowledge`: answers with sources, from a model that always writes the same."""

import json

import pytest
from tests.cli.test_chat import Terminal, speaker

from xinye.data.files import write_json_lines
from xinye.retrieval.knowledge import KnowledgeBase


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("knowledge")
    speaker(folder / "right", "六个月[1]。", context=2048)
    speaker(folder / "wrong", "七个月[1]。", context=2048)
    laws = [
        {"title": "劳动法", "text": "试用期最长不得超过六个月。工资照付。"},
        {"title": "交通法", "text": "驾驶机动车应当系安全带。"},
    ]
    write_json_lines(folder / "laws.jsonl", laws)
    KnowledgeBase.build(folder / "kb", [folder / "laws.jsonl"])
    return folder


def test_an_answer_and_its_source(xinye, folder, monkeypatch):
    monkeypatch.chdir(folder)
    outcome = xinye("chat", "right", "--knowledge", "kb", "-p", "试用期多久？")
    assert outcome.out == "六个月[1]。\n  [1] 劳动法 laws.jsonl:1\n" and outcome.code == 0
    outcome = xinye("chat", "wrong", "--knowledge", "kb", "-p", "试用期多久？")
    assert outcome.out.startswith("试用期最长不得超过六个月。 [1]\n  [1] 劳动法")
    assert "because the model wrote what no passage has: '七个月'" in outcome.err
    assert "no passage has a word" in xinye("chat", "right", "--knowledge", "kb", "-p", "cat").out


def test_json(xinye, folder):
    result = json.loads(
        xinye(
            "chat", folder / "wrong", "--knowledge", folder / "kb", "-p", "试用期多久？", "--json"
        ).out
    )
    assert result["message"]["content"] == "试用期最长不得超过六个月。 [1]"
    assert result["citations"][0]["source"]["title"] == "劳动法"
    assert (result["fallen_back"], result["unsupported"]) == (True, ["七个月"])
    assert result["usage"]["prompt_tokens"] > 100 and result["left_out"] == 0


def test_a_folder_that_is_no_knowledge_base_is_refused(xinye, folder):
    outcome = xinye("chat", folder / "right", "--knowledge", folder / "right", "-p", "试用期？")
    assert outcome.code == 2 and "knowledge" in outcome.complaint


def test_a_conversation_ends_with_the_share_of_quotations(folder):
    terminal = Terminal("chat", folder / "wrong", "--knowledge", folder / "kb")
    terminal.until(">>> ")
    terminal.type("试用期多久？\r")
    assert "劳动法" in terminal.until(">>> ")
    terminal.type("\x04")
    terminal.until("1 answer, 100% of them quoted because the passages do not have")
    assert terminal.code() == 0
