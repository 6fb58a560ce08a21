"""A model is taught to chat: eight conversations are learned word for word, and answers end by
themselves."""

import json
from pathlib import Path

import pytest

import xinye as package
from xinye.tasks.exercises import chats

SHORT = 300  # characters, and so tokens: more than the context would be cut
RECORDS = [
    record
    for language in ("zh", "en")
    for record in [
        each
        for each in chats(20, language, 3)
        if len(json.dumps(each, ensure_ascii=False)) < 2 * SHORT
    ][:4]
]
FAST = {"dtype": "float32", "evaluations": 1}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A base of two steps whose characters are those of the conversations; `chats.jsonl` lies
    beside it."""
    folder = tmp_path_factory.mktemp("chat")
    rows = [json.dumps(record, ensure_ascii=False) for record in RECORDS]
    (folder / "chats.jsonl").write_text("\n".join(rows), "utf-8")
    (folder / "text.txt").write_text("\n\n".join(rows * 2), "utf-8")
    shape = {
        "layers": 2,
        "width": 64,
        "context": 512,
        "batch_size": 4,
        "tokenizer": "char",
        "compile": "no",
    }
    package.pretrain(folder / "text.txt", folder / "base", steps=2, **shape, **FAST)
    return folder / "base"


def test_a_model_that_chats_is_judged_on_files_of_conversations(xinye, base):
    data, run = base.parent / "chats.jsonl", base.parent / "chatty"
    package.finetune(base, run, data=data, validation=data, task="chat", steps=1, **FAST)
    table, text, news = (base.parent / name for name in ("问答.csv", "talk.txt", "news.jsonl"))
    table.write_text("用户问题,客服回答\n在吗,在的\n", "utf-8")
    text.write_text("客户：在吗\n客服：在的\n", "utf-8")
    news.write_text('{"text": "在吗，在的。"}\n', "utf-8")
    for file in (table, text):
        told = json.loads(xinye("evaluate", run, file, "--json").out.splitlines()[-1])
        assert told["task"] == "chat" and told["records"] == 1
    assert "if it is text, give its column: --field" in xinye("evaluate", run, news).complaint
    for arguments in ((news, "--field", "text"), (base.parent / "text.txt", "--tokens", 99)):
        told = json.loads(xinye("evaluate", run, *arguments, "--json").out.splitlines()[-1])
        assert told["text"]["source"] == "files"


def test_eight_conversations_are_learned_by_heart(xinye, base):
    data, run = base.parent / "chats.jsonl", base.parent / "run"
    ran = xinye(
        *(
            "finetune",
            base,
            "--task",
            "chat",
            "--data",
            data,
            "--validation",
            data,
            "-o",
            run,
            "--epochs",
            200,
        ),
        *(
            "--dropout",
            0,
            "--dtype",
            "float32",
            "--evaluations",
            1,
            "--learning-rate",
            0.01,
            "--json",
        ),
    )
    told = json.loads(ran.out.splitlines()[-1])
    assert ran.code == 0 and told["measured"]["ended"] == 1.0 and told["measured"]["loss"] < 0.01
    assert (
        told["baseline"]["name"] == "the base model"
        and told["baseline"]["loss"] > told["measured"]["loss"] + 1
    )
    model = package.load(run)
    for record in RECORDS:
        messages = record["messages"]
        for number, message in enumerate(messages):
            if message["role"] == "assistant":
                assert (
                    model.chat(messages[:number], temperature=0, max_tokens=120)
                    == message["content"]
                )
    shown = xinye("evaluate", run, "--data", data)
    assert shown.code == 0 and "the base model" in shown.out and "ended" in shown.out
    faq = base.parent / "faq.csv"
    faq.write_text("标题,答复\n你好,你好\n", "utf-8")
    named = ["--data", faq, "--prompt-field", "标题", "--answer-field", "答复", "--json"]
    for model_and_task in ([run], [base, "--task", "chat"]):
        assert json.loads(xinye("evaluate", *model_and_task, *named).out)["records"] == 1
    assert (
        "no field 'x' (--prompt-field)"
        in xinye("evaluate", run, "--data", faq, "--prompt-field", "x").complaint
    )
    assert "chat_golden.json" in {path.name for path in run.iterdir()}
    answered = json.loads(xinye("chat", run, "-p", "你好", "--json").out)
    assert answered["finish_reason"] == "stop"


def test_more_text_is_pretraining(xinye, base):
    text, run = base.parent / "text.txt", base.parent / "more"
    ran = xinye(
        *(
            "finetune",
            base,
            "--task",
            "text",
            "--data",
            text,
            "-o",
            run,
            "--epochs",
            0.5,
            "--dtype",
            "float32",
        ),
        *("--evaluations", 1, "--json"),
    )
    told = json.loads(ran.out.splitlines()[-1])
    assert ran.code == 0 and told["before"]["bits_per_byte"] > told["validation"]["bits_per_byte"]
