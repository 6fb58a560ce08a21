"""`xinye answer --compose` and `xinye chat --knowledge` refuse what the knowledge base refuses.

The models always write the same, so whatever they write is seen.
"""

import json

import pytest
from tests.cli.test_chat import speaker

from xinye.data.files import write_json_lines
from xinye.retrieval.confidence import KIND, VERSION, Calibration, Threshold
from xinye.retrieval.knowledge import KnowledgeBase

RULES = {
    "zh": ["试用期最长不得超过六个月。", "会议室须提前一天预约。", "病假需要医院证明。"],
    "en": ["A trial period lasts 90 days.", "Rooms are booked in advance.", "Pets stay outside."],
}
# A question, what its model writes, and a question about the weather that shares a word with a rule
ASKED = {
    "zh": ("试用期最长多久？", "六个月[1]。", "明天会下雨吗？后天呢？"),
    "en": ("How long is a trial period?", "90 days[1].", "Will it rain in Paris outside?"),
}
SURE = Calibration(
    kind=KIND,
    version=VERSION,
    questions=20,
    made=False,
    precision=0.9,
    weights={"shared": 10.0, "ahead": 0.0, "rare": 0.0, "missing": 0.0},
    bias=-4.0,
    thresholds=[Threshold(precision=0.9, confidence=0.5, answered=0.5, score=None, by_score=0.0)],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compose")
    for language, rules in RULES.items():
        speaker(folder / f"{language}-model", ASKED[language][1], context=2048)
        rows = [{"title": "规矩", "text": rule} for rule in rules]
        write_json_lines(folder / f"{language}.jsonl", rows)
        KnowledgeBase.build(folder / f"{language}-kb", [folder / f"{language}.jsonl"])
        SURE.save(folder / f"{language}-kb")
    return folder


@pytest.fixture(params=ASKED)
def case(request, folder, monkeypatch):
    """The model, the flags of its base, and what is asked and written, in both languages."""
    monkeypatch.chdir(folder)
    language = request.param
    return f"{language}-model", ("--knowledge", f"{language}-kb"), *ASKED[language]


def test_answer_writes_or_refuses_with_what_was_found(xinye, case):
    model, base, question, written, weather = case
    right = xinye("answer", model, question, "--compose", *base)
    file = f"{model[:2]}.jsonl"
    assert (right.code, right.out) == (0, f"{written}\n  [1] 规矩 {file}:1\n")
    wrong = xinye("answer", model, weather, "--compose", *base)
    assert wrong.code == 0 and wrong.out.startswith("no answer: the confidence is ")
    assert f"\n1  规矩\n   {file}:" in wrong.out and "[1]" not in wrong.out
    plain = ["answer", model, weather, "--compose", *base]
    (told,) = json.loads(xinye(*plain, "--json").out)["results"]
    assert (told["text"], told["citations"]) == ("", []) and "the confidence" in told["refused"]
    assert told["usage"]["completion_tokens"] == 0  # the model was not asked
    outcome = xinye(*plain, "--precision", 0.95)
    assert outcome.code == 2 and "no confidence gives answers a precision of 95%" in outcome.err


def test_chat_refuses_as_well(xinye, case):
    model, base, question, written, weather = case
    right = xinye("chat", model, *base, "-p", question)
    assert right.out.startswith(f"{written}\n  [1] 规矩 ")
    wrong = xinye("chat", model, *base, "-p", weather)
    assert "no answer: the confidence is " in wrong.out and "[1]" not in wrong.out
