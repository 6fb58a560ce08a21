"""The task `write`: its records, its prompts, and a model that is trained and used."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import xinye as package
from server.tiny_server import serving
from xinye import machine
from xinye.data.notes import Notes
from xinye.errors import XinyeError
from xinye.tasks.write import Write
from xinye.tasks.write_brief import Brief
from xinye.tasks.write_exercise import orders
from xinye.tasks.write_facts import lines_of, read_facts, share_used
from xinye.tasks.write_records import read_record

MAIL = {"kind": "mail", "facts": {"时间": "8点"}, "text": "您好！八点见。"}


def read(row):
    return read_record(row, "a.jsonl, line 1", Notes())


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        (MAIL, "写一封邮件，约10字。要点：\n时间：8点"),
        ({"类型": "广告", "要点": "茶：白茶；价格：5元", "正文": "白茶五元！"},
         "写一则广告，约10字。要点：\n茶：白茶\n价格：5元"),
        ({"kind": "Letter", "facts": ["time=8 am"], "text": "See you at 8 am."},
         "Write an e-mail in about 10 words. Use these facts:\ntime: 8 am"),
        ({**MAIL, "来信": "几点？"},
         "写一封邮件，回复下面的来信，约10字。要点：\n时间：8点\n\n来信：\n几点？"),
        (["茶价上涨", "茶价今日涨5%。"], "写一则新闻，约10字。要点：\n标题：茶价上涨\n时间：今日\n比例：5%"),
        ({"title": "Tea", "text": "Tea rose by 5% on Monday."},
         "Write a news report in about 10 words. Use these facts:\n"
         "title: Tea\ntime: Monday\nshare: 5%"),
    ],
)  # fmt: skip
def test_records(row, prompt):
    assert read(row).messages[0]["content"] == prompt


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "blog"}, "field 'kind': no kind 'blog'; choose news, mail, advert or story"),
        ({"kind": ""}, "there is no kind. Add a column 'kind'"),
        ({"kind": "advert", "reply_to": "Hi"}, "only a mail answers another mail"),
        ({"facts": {}}, "field 'facts': there are no facts"),
        ({"facts": ["a=1", "a=2"]}, "contradict each other"),
        ({"text": " "}, "field 'text': expected a text"),
        ({"text": None}, "field 'text': expected a text"),
        ({"facts": None, "title": 1}, "expected facts as an object"),
    ],
)
def test_bad_records(change, says):
    with pytest.raises(XinyeError, match=r"^a.jsonl, line 1") as error:
        read(MAIL | change)
    assert says in str(error.value)
    with pytest.raises(XinyeError, match="expected the fields 'kind', 'facts' and 'text'"):
        read({"a": 1})


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_texts_of_the_demo_have_all_facts_and_so_has_a_template(language):
    for row in orders(80, language):
        record = read(row)
        assert share_used(record.facts, record.target) == 1
        assert share_used(record.facts, record.brief.template) == 1
        assert record.brief.chinese is (language == "zh")


@pytest.mark.parametrize("kind", ["news", "mail", "advert", "story"])
@pytest.mark.parametrize(
    "facts", ["标题：茶价上涨！\n时间：今天", "title: Tea\ntime: now", "Tea is good."]
)
def test_templates(kind, facts):
    text = Brief(kind, read_facts(facts, "")).template
    assert "{" not in text and ".." not in text and "。。" not in text and "！。" not in text


def test_the_candidate_with_the_most_facts_and_without_other_numbers_is_chosen():
    facts = read_facts("价格：5元\n时间：8点", "")
    texts = ["8点开门。", "5元一斤，8点开门，9折。", "5元一斤，8点开门。", "5元，8点"]
    candidates = [
        SimpleNamespace(text=text, finish_reason="stop" if text.endswith("。") else "length")
        for text in texts
    ]
    window = SimpleNamespace(candidates=candidates)
    assert Write().best(facts, lines_of(facts), window).text == texts[2]


def test_half_of_the_training_prompts_name_no_length():
    records = [read(MAIL), read(MAIL)]
    asked = [each.messages[0]["content"] for each in Write.enlarged(records, None)]
    assert asked == ["写一封邮件，约10字。要点：\n时间：8点", "写一封邮件。要点：\n时间：8点"]


def test_texts_that_only_repeat_the_facts_are_left_out():
    notes = Notes()
    for text in ("时间：8点", "8点。"):
        assert Write.record({**MAIL, "text": text}, "a.jsonl, line 1", notes) is None
    assert Write.record(MAIL, "a.jsonl, line 2", notes)
    assert "(2 times, first a.jsonl, line 1" in notes.sentences()[0]


def test_texts_that_leave_facts_out_are_found():
    records = [read(MAIL), read({**MAIL, "text": "您好！"})]
    assert any("with less than half of the facts" in each for each in Write.findings(records, []))


@pytest.fixture(scope="module")
def writer(tmp_path_factory, cache):
    """A folder with a base model, `run`, which learned a little of mails and adverts, and their
    records."""
    folder = tmp_path_factory.mktemp("writer")
    kinds = ("mail", "advert")
    rows = [row for row in orders(40, "zh") if row["kind"] in kinds]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "matrix_flops_per_second", lambda *arguments, **named: 1e11)
        patch.setattr(Write, "candidates", 1)
        package.pretrain(
            files=(str(folder / "train.jsonl"),), size="1M", layers=1, width=64, context=256,
            batch_size=4, tokenizer="char", dtype="float32", compile="no", steps=2,
            output=folder / "base",
        )  # fmt: skip
        package.finetune(
            model=str(folder / "base"), task="write", data=(str(folder / "train.jsonl"),),
            steps=2, evaluations=1, dtype="float32", output=folder / "run",
        )  # fmt: skip
    return folder


def test_a_model_is_trained_and_used(writer, xinye, monkeypatch):
    monkeypatch.chdir(writer)
    Path("mail.txt").write_text("几点开门？", "utf-8")
    told = xinye(
        *("write", "run", "--kind", "邮件", "--facts", "时间=8点", "--facts", "茶=白茶"),
        *("--reply-to", "mail.txt", "--max-tokens", "8", "--json"),
    )
    printed = json.loads(told.out)
    assert told.code == 0 and printed.pop("facts") == ["时间=8点", "茶=白茶"]
    model = package.load("run")
    same = model.write(
        {"时间": "8点", "茶": "白茶"}, kind="mail", reply_to="几点开门？", max_tokens=8
    )
    assert Write.told(same) == printed
    with serving(["run"]) as server:
        asked = {"kind": "mail", "reply_to": "几点开门？", "max_tokens": 8}
        body = {"model": "run", "input": "时间：8点\n茶：白茶", "settings": asked}
        answer = server.http.post("/v1/tasks/write", json=body)
        [answered] = answer.json()["data"]
        assert answered["facts_used"] == same["facts_used"], answer.text
        assert same["text"] in answered.values()
        body["settings"] = {"kind": "story"}
        assert "learned to write" in server.http.post("/v1/tasks/write", json=body).text
    found = Write.notes_on({"notes": [], "ended": True, "missing": [], "invented": ["9元"]})
    assert found == ["in the text, but in no fact: 9元"]
    shown = xinye("write", "run", "--kind", "mail", "--facts", "茶=@@", "--max-tokens", "4")
    assert "not in the text: 茶：@@" in shown.err


def test_it_is_evaluated_beside_a_template(writer, xinye, monkeypatch):
    monkeypatch.chdir(writer)
    row = Path("train.jsonl").read_text("utf-8").split("\n")[0]
    long = json.dumps({**MAIL, "facts": {f"茶{at}": f"{at}元" for at in range(99)}})
    Path("two.jsonl").write_text(f"{row}\n{long}", "utf-8")
    judged = xinye("evaluate", "run", "--data", "two.jsonl", "--json")
    found = json.loads(judged.out)
    assert found["baseline"]["name"] == "a filled template"
    assert found["baseline"]["facts_used"] == 1.0 and found["measured"]["bits_per_byte"] > 0
    assert {"repetition", "length_kept", "ended"} <= found["measured"].keys()
    assert found["measured"]["cut"] == 0.5


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (
            ["--kind", "blog", "--facts", "a=1"],
            "no kind 'blog'; choose news, mail, advert or story",
        ),
        (["--kind", "news", "--facts", "a=1"], "this model learned to write"),
        (["--facts", "a=1"], "say what to write with --kind: "),
        (["--kind", "mail"], "give the facts: --facts KEY=VALUE"),
        (["--kind", "mail", "--facts", "白茶"], "--facts '白茶': expected KEY=VALUE"),
        (["--kind", "mail", "--facts", "a="], "--facts 'a=': expected KEY=VALUE"),
        (["--kind", "mail", "--facts", "价=1元", "--facts", "价=2元"], "contradict each other"),
        (["--kind", "advert", "--facts", "a=1", "--reply-to", "train.jsonl"], "is for --kind mail"),
        (["--kind", "mail", "--facts", "a=1", "--reply-to", "no.txt"], "there is no such file"),
        (["--kind", "mail", "--facts", "a=1", "--reply-to", "empty.txt"], "the file is empty"),
        (
            ["--kind", "mail", "--facts", "a=1", "--reply-to", "long.txt"],
            "tokens too long for this model",
        ),
        (["--kind", "mail", "--facts", "a=1", "--examples", "train.jsonl"], "would have no effect"),
    ],
)
def test_bad_requests(writer, xinye, monkeypatch, flags, says):
    monkeypatch.chdir(writer)
    Path("empty.txt").write_text(" \n", "utf-8")
    Path("long.txt").write_text("几点开门？" * 400, "utf-8")
    told = xinye("write", "run", *flags)
    assert told.code == 2 and says in told.complaint


def test_examples_show_a_base_model_how(writer, xinye, monkeypatch):
    monkeypatch.chdir(writer)
    rows = ["茶铺"] * 3
    lines = [{"kind": "story", "facts": {"人": each}, "text": f"{each}的故事。"} for each in rows]
    Path("stories.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    command = ("write", "base", "--facts", "人=小兔", "--max-tokens", "8")
    told = xinye(*command, "--kind", "story", "--examples", "stories.jsonl", "--json")
    assert told.code == 0 and "write" in json.loads(told.out), told.err
    wrong = xinye(*command, "--kind", "news", "--examples", "stories.jsonl")
    assert "there is no example of the kind 'news', only of story" in wrong.complaint
    assert "show it examples with --examples FILE" in xinye(*command, "--kind", "story").complaint


def test_each_kind_has_examples_of_its_own(writer, xinye, monkeypatch):
    monkeypatch.chdir(writer)
    monkeypatch.setattr(Write, "parts_of_context", 16)  # leaves more room for examples
    kinds = {"红茶": "mail", "白茶": "mail", "绿茶": "advert"}
    rows = [{"kind": kinds[tea], "facts": {"茶": tea}, "text": f"{tea}到了！"} for tea in kinds]
    Path("both.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    flags = ("--task", "write", "--data", "both.jsonl", "--examples", "both.jsonl")
    told = xinye("evaluate", "base", *flags)
    assert told.code == 0, told.err
    assert "examples before each text: 1–2 of 3 examples" in told.out + told.err


def test_a_chat_model_is_judged_as_it_is_used(writer, xinye, tmp_path, monkeypatch):
    monkeypatch.setattr(Write, "parts_of_context", 16)
    folder = shutil.copytree(writer / "run", tmp_path / "chat")
    about = {"recipe": "finetune", "settings": {"task": "chat"}}
    (folder / "training" / "settings.json").write_text(json.dumps(about), "utf-8")
    data = tmp_path / "mails.jsonl"
    row = {"kind": "mail", "facts": {"茶": "白茶"}, "text": "白茶到了！"}
    data.write_text(json.dumps(row), "utf-8")
    flags = ("--task", "write", "--data", data)
    assert xinye("evaluate", folder, *flags).code == 0
    assert package.load(folder).proofread("茶") is not None
    wrong = xinye("evaluate", folder, "--task", "classify", "--data", data).complaint
    assert "only on chat or" in wrong and "write" in wrong


@pytest.mark.parametrize(
    "facts",
    [{f"项目{number}": "八点开门" for number in range(40)}, {"时间": "八点开门" * 200},
     {"时间": "8点；时间：9点"}],
    ids=["many", "long", "one"],
)  # fmt: skip
def test_a_record_that_is_too_long_is_shortened(writer, facts):
    model = package.load(writer / "run")
    record = read(MAIL | {"facts": facts})
    assert "→" in Write().sample(model.gpt, model.tokenizer, record, 256)
    assert Write().measure(model.gpt, model.tokenizer, [record], 256)["answers"] == 1
