"""`xinye knowledge` as a person meets it."""

import json
import os
import random
import re
import time
from pathlib import Path

import pytest

from xinye.data.files import write_json_lines
from xinye.errors import XinyeError
from xinye.jobs.answering import NOT_IN_HERE, NOT_IN_THESE
from xinye.language import shown
from xinye.retrieval import knowledge
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.refusal import NOTHING_FOUND, lacking_words
from xinye.retrieval.results import Found

HANDBOOK = (
    "# 员工手册\n\n## 请假\n\n病假需要医院证明。\n\n## 报销\n\n差旅费在十天内报销，要附发票。\n"
)
FAQ = "question,answer\n几点关门？,晚上九点。\n能不能退货？,七天内可以退货。\n"
LAWS = [
    {
        "title": "新叶法(2012-12-28)",
        "text": "第一条 叶子归树。\n\n第二条 试用期不超过六个月。\n\n第三条 完。",
    },
    {
        "title": "新叶法(2020-01-01)",
        "text": "第一条 叶子归树。\n\n第二条 试用期不超过三个月。\n\n第三条 完。",
    },
]


@pytest.fixture
def place(workplace):
    """A folder with documents of several kinds, and a knowledge base of them in `kb`."""
    folder = workplace / "docs"
    folder.mkdir()
    (folder / "手册.md").write_text(HANDBOOK, "utf-8")
    (folder / "faq.csv").write_text(FAQ, "gb18030")
    (folder / "page.html").write_text(
        "<title>Hours</title><p>The library opens at nine.</p>", "utf-8"
    )
    write_json_lines(folder / "laws.jsonl", LAWS)
    KnowledgeBase.build("kb", ["docs"])
    return workplace


def best(xinye, question):
    """The first passage for a question, from the command line."""
    outcome = xinye("knowledge", "search", "kb", question, "--json")
    assert outcome.code == 0
    passages = json.loads(outcome.out)["passages"]
    return passages[0] if passages else None


def test_documents_of_all_kinds_answer_with_their_place(xinye, place):
    expense = best(xinye, "发票什么时候报销？")
    assert expense["text"] == "差旅费在十天内报销，要附发票。"
    assert (expense["section"], expense["line"]) == ("员工手册 › 报销", 9)
    assert (place / expense["file"]).read_text("utf-8")[expense["offset"] :].startswith("差旅费")
    assert best(xinye, "可以退货吗")["line"] == 3
    assert best(xinye, "When do libraries open?")["title"] == "Hours"
    screen = xinye("knowledge", "search", "kb", "发票", "-n", "1").out
    assert screen.splitlines()[0] == "1  员工手册 › 报销" and "docs/手册.md:9" in screen


def test_the_newest_version_of_a_law_answers(xinye, place):
    article = best(xinye, "试用期多久")
    assert (article["title"], article["section"]) == ("新叶法(2020-01-01)", "第二条")
    assert "三个月" in article["text"]
    built = xinye("knowledge", "build", "docs", "-o", "other")
    assert "1 document not in force: older versions, or repealed by another" in built.err
    xinye("knowledge", "remove", "kb", "新叶法(2020-01-01)")
    assert "六个月" in best(xinye, "试用期多久")["text"]


def test_a_repealed_law_does_not_answer(xinye, workplace):
    """Nor does the interpretation of one; and a law of the same name that is newer does."""
    laws = {
        "中华人民共和国婚姻法(2001-04-28)": "第一条 结婚年龄，男不得早于二十二周岁。",
        "法院关于适用《婚姻法》若干问题的解释(2003-12-25)": "第一条 结婚年龄有争议的，可以起诉。",
        "国家安全法(2015-07-01)": "第一条 国家安全人人有责。",
        "反间谍法(2014-11-01)": "第一条 本法施行，《中华人民共和国国家安全法》同时废止。",
        "婚姻家庭编": "第一条 结婚应当自愿。",
        "来信": "《国家安全法》废止前的合同还有效吗？",
        "附则": "第一条 《中华人民共和国婚姻法》、《收养法》（1998年修正）同时废止。",
    }
    write_json_lines(
        Path("laws.jsonl"), [{"title": title, "text": text} for title, text in laws.items()]
    )
    built = xinye("knowledge", "build", "laws.jsonl", "-o", "kb")
    assert "2 documents not in force" in built.err
    assert best(xinye, "结婚年龄")["title"] == "婚姻家庭编"
    assert best(xinye, "国家安全人人有责")["title"] == "国家安全法(2015-07-01)"
    xinye("knowledge", "remove", "kb", "附则")
    assert best(xinye, "结婚年龄")["title"] == "中华人民共和国婚姻法(2001-04-28)"


def test_a_changed_file_answers_with_what_it_says_now(xinye, place):
    Path("docs/手册.md").write_text(HANDBOOK.replace("十天", "三十天"), "utf-8")
    added = xinye("knowledge", "add", "kb", "docs")
    assert (
        "1 document added, 2 passages" in added.err
        and "1 document no longer in the files" in added.err
    )
    assert "5 documents unchanged" in added.err
    assert "三十天" in best(xinye, "发票什么时候报销？")["text"]
    Path("docs/手册.md").write_text(HANDBOOK, "utf-8")  # as it was before
    xinye("knowledge", "add", "kb", "docs/手册.md")
    assert "差旅费在十天" in best(xinye, "发票什么时候报销？")["text"]


def test_a_removed_document_stops_answering(xinye, place):
    removed = xinye("knowledge", "remove", "kb", "docs/faq.csv")
    assert "2 documents removed" in removed.err and best(xinye, "退货关门") is None
    wrong = xinye("knowledge", "remove", "kb", "docs/手冊.md")
    assert wrong.code == 2 and "did you mean 'docs/手册.md'?" in wrong.complaint


def test_many_additions_are_indexed_as_one(xinye, place, monkeypatch):
    monkeypatch.setattr(knowledge, "MOST_SEGMENTS", 2)
    monkeypatch.setattr(knowledge, "SMALL", 0)
    for number in range(4):
        Path("more.txt").write_text(f"第{number}棵树叫梧桐{number}号。", "utf-8")
        KnowledgeBase("kb").add([Path("more.txt")])
    base = KnowledgeBase("kb")
    assert len(base.manifest.segments) <= 2 and base.search("梧桐")[0].text.endswith("3号。")
    assert {path.name for path in base.folder.glob("index-*")} == {
        segment.file for segment in base.manifest.segments
    }
    assert best(xinye, "可以退货吗")["line"] == 3


def test_evaluation_ranks_beside_a_baseline(xinye, place):
    questions = [
        {"question": "试用期最长多久", "title": "新叶法", "article": "第二条"},
        {"question": "报销要什么", "answer": "要附发票"},
        {"question": "树是谁的", "title": "新叶法(2020-01-01)", "section": "第九条", "also": [["新叶法", "第一条"]]},
        {"question": "月亮上有什么", "answer": "没有的话"},
    ]  # fmt: skip
    write_json_lines(Path("q.jsonl"), questions)
    result = json.loads(xinye("knowledge", "evaluate", "kb", "q.jsonl", "--json").out)
    assert result["questions"] == 4 and result["found"]["recall_at_5"] == 0.75
    assert set(result["baseline"]) == set(result["found"]) and result["missed"] == ["月亮上有什么"]
    screen = xinye("knowledge", "evaluate", "kb", "q.jsonl").out
    assert "BM25" in screen and "shared terms" in screen and "月亮上有什么" in screen


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["search", "kb", " "], "the question is empty"),
        (["search", "kb", "问" * 3000], "the question has 3,000 characters; at most 2,000"),
        (["search", "gone", "x"], "there is no such folder; build one"),
        (["search", "docs", "x"], "this is not a knowledge base"),
        (["search", "kb", "x", "-n", "0"], "--count: use at least 1"),
        (["build", "docs", "-o", "kb"], "already exists"),
        (["build", "docs", "-o", "docs"], "this folder exists and is not a knowledge base"),
        (["build", "none.txt", "-o", "new"], "none.txt"),
        (["build", "tool.exe", "-o", "new"], "reads no files of this kind"),
        (["build", "empty.txt", "-o", "new"], "there is no text to answer from"),
        (["build", "docs", "-o", "mixed", "--overwrite"], "other files in this knowledge base"),
        (["evaluate", "kb", "bad.jsonl"], "bad.jsonl, line 1: it does not say which passage"),
        (["evaluate", "kb", "none.jsonl"], "none.jsonl"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(xinye, place, arguments, says):
    Path("tool.exe").write_bytes(b"MZ")
    Path("empty.txt").write_text(" \n", "utf-8")
    write_json_lines(Path("bad.jsonl"), [{"question": "什么"}])
    KnowledgeBase.build("mixed", ["docs"])
    Path("mixed/mine.txt").write_text("x", "utf-8")
    before = sorted(path.name for path in place.rglob("*"))
    outcome = xinye("knowledge", *arguments)
    assert outcome.code == 2 and says in outcome.complaint
    assert sorted(path.name for path in place.rglob("*")) == before


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("knowledge.json", b"{", "damaged file"),
        ("knowledge.json", b"[]", "not a knowledge base of Xinye"),
        ("knowledge.json", b'{"kind": "xinye knowledge base", "version": 9}', "; update Xinye"),
        ("knowledge.json", b'{"kind": "xinye knowledge base", "version": 0}', "; build the"),
        (
            "knowledge.json",
            b'{"kind": "xinye knowledge base", "version": 1, "odd": 1}',
            "unknown key",
        ),
        ("passages.jsonl", b"", "damaged file (cut short); build the"),
        ("passages.jsonl", b" " * 5000 + b'{"text": 5}', "(text: 5 is not a text); build the"),
        ("index", b"no tensors", "damaged file"),
    ],
)
def test_a_damaged_base_is_named_and_can_be_replaced(xinye, place, name, content, says):
    path = next(Path("kb").glob("index-*")) if name == "index" else Path("kb", name)
    path.write_bytes(content)
    outcome = xinye("knowledge", "search", "kb", "试用期")
    assert outcome.code == 2 and says in outcome.complaint and path.name in outcome.complaint
    assert xinye("knowledge", "build", "docs", "-o", "kb", "--overwrite").code == 0
    assert best(xinye, "试用期")["section"] == "第二条"


def test_what_an_interrupted_addition_left_is_ignored(xinye, place):
    with Path("kb/passages.jsonl").open("ab") as file:
        file.write(b'{"text": "half')
    Path("more.txt").write_text("梧桐是一种树。", "utf-8")
    assert xinye("knowledge", "add", "kb", "more.txt").code == 0
    assert best(xinye, "梧桐")["text"] == "梧桐是一种树。"


def test_two_commands_do_not_change_a_base_at_once(xinye, place):
    with KnowledgeBase("kb")._alone():
        outcome = xinye("knowledge", "remove", "kb", "docs/faq.csv")
    assert outcome.code == 1 and "another command is changing" in outcome.complaint


def test_a_link_in_the_place_of_a_base_is_not_followed(xinye, place):
    os.symlink("kb", "link")
    outcome = xinye("knowledge", "build", "docs", "-o", "link", "--overwrite")
    assert outcome.code == 2 and best(xinye, "试用期") is not None
    data = json.loads(Path("kb/knowledge.json").read_text("utf-8"))
    data["segments"][0]["file"] = "../docs/laws.jsonl"
    Path("kb/knowledge.json").write_text(json.dumps(data), "utf-8")
    with pytest.raises(XinyeError, match="damaged file"):
        KnowledgeBase("kb")


@pytest.mark.parametrize("small", [0, 20_000])
def test_what_was_added_ranks_like_what_was_built(xinye, place, monkeypatch, small):
    monkeypatch.setattr(knowledge, "SMALL", small)
    Path("new.txt").write_text("新员工的试用期最长三个月。", "utf-8")
    KnowledgeBase.build("whole", ["docs", "new.txt"])
    KnowledgeBase("kb").add([Path("new.txt")])
    question = "新员工的试用期最长几个月？"
    whole, added = (KnowledgeBase(name).search(question) for name in ("whole", "kb"))
    assert [each.text for each in whole] == [each.text for each in added]
    if small:
        assert [each.score for each in whole] == [each.score for each in added]


def test_a_text_that_two_files_have_is_found_once_and_stays_while_one_has_it(xinye, place):
    Path("copy.csv").write_bytes(Path("docs/faq.csv").read_bytes())
    base = KnowledgeBase("kb")
    base.add([Path("copy.csv")])
    assert [each.line for each in base.search("可以退货吗")] == [3]
    xinye("knowledge", "remove", "kb", "docs/faq.csv")
    assert best(xinye, "可以退货吗")["file"].endswith("copy.csv")


def test_a_base_does_not_read_itself(xinye, place):
    assert "unchanged" in xinye("knowledge", "add", "kb", ".").err
    assert not [entry for entry in KnowledgeBase("kb").documents if "/kb/" in entry.file]


def test_building_again_replaces_only_the_base(xinye, place):
    Path(".kb.old").mkdir()
    Path(".kb.old/mine.txt").write_text("梧桐", "utf-8")
    xinye("knowledge", "remove", "kb", "docs/faq.csv")
    Path("docs/faq.csv").unlink()
    assert xinye("knowledge", "build", ".", "-o", "kb", "--overwrite").code == 0
    assert best(xinye, "退货") is None  # the old base is no document
    assert Path(".kb.old/mine.txt").is_file() and not [*Path().glob(".kb.????????")]


def test_an_empty_name_removes_nothing(xinye, place):
    outcome = xinye("knowledge", "remove", "kb", "")
    assert outcome.code == 2 and best(xinye, "可以退货吗") is not None


def test_a_passage_of_many_files_does_not_hide_others(place):
    for number in range(30):
        Path(f"docs/{number}.txt").write_text(f"第{number}封信\n\n# 页脚\n\n梧桐路", "utf-8")
    Path("docs/other.txt").write_text("梧桐是一种很高的树，叶子很大，秋天变黄，冬天落光。", "utf-8")
    base = KnowledgeBase("kb")
    base.add([*Path("docs").glob("*.txt")])
    assert [each.text[:3] for each in base.search("梧桐", 2)] == ["梧桐路", "梧桐是"]


def test_the_line_of_a_record_is_where_it_is_now(xinye, place):
    rows = [{"title": "甲", "text": "梧桐"}, {"title": "乙", "text": "银杏"}]
    write_json_lines(Path("r.jsonl"), rows)
    base = KnowledgeBase("kb")
    base.add([Path("r.jsonl")])
    write_json_lines(Path("r.jsonl"), [{"title": "丙", "text": "松树"}, *rows])
    base.add([Path("r.jsonl")])
    assert base.search("银杏")[0].line == 3


@pytest.mark.parametrize(
    "changes",
    [{"bytes": 3}, {"bytes": 10**30}, {"bytes": -5}, {"starts": [5, 5, 5]}],
)
def test_a_list_that_does_not_fit_its_passages_is_refused(xinye, place, changes):
    path = Path("kb/knowledge.json")
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
    before = Path("kb/passages.jsonl").read_bytes()
    outcome = xinye("knowledge", "add", "kb", "docs")
    assert outcome.code == 2 and "damaged file" in outcome.complaint
    assert Path("kb/passages.jsonl").read_bytes() == before


def test_what_killed_builds_left_is_cleared_later(xinye, place):
    for name, hours in ((".kb.0a1b2c3d", 2), (".kb.0a1b2c3e", 0), (".kb.notes", 2)):
        Path(name).mkdir()
        Path(name, "passages.jsonl").touch()
        then = time.time() - 3600 * hours
        for path in (Path(name, "passages.jsonl"), name):
            os.utime(path, (then, then))
    xinye("knowledge", "build", "docs", "-o", "kb", "--overwrite")
    assert sorted(path.name for path in Path().glob(".kb.*")) == [".kb.0a1b2c3e", ".kb.notes"]


# -- refusing --------------------------------------------------------------------------------------

TREES = [f"{a}{b}" for a in "梧榆桦柏松杉槐柳枫橡" for b in "桐树木林"]


@pytest.fixture
def trees(workplace):
    """A base of forty trees, of which each has a number of its own, and questions about them."""
    rng = random.Random(0)
    lines = []
    for at, tree in enumerate(TREES):
        strange = ["".join(chr(rng.randrange(0x4E00, 0x5E00)) for _ in range(15)) for _ in "123"]
        lines.append(f"{tree}能长到{at + 5}米高。{tree}的叶子在冬天落光。{'。'.join(strange)}。")
    rows = [{"title": f"第{at}页", "text": line} for at, line in enumerate(lines)]
    write_json_lines(Path("trees.jsonl"), rows)
    KnowledgeBase.build("kb", ["trees.jsonl"])
    questions = [
        {"question": f"{tree}最高能长到多少米？", "title": f"第{at}页"}
        for at, tree in enumerate(TREES)
    ]
    write_json_lines(Path("q.jsonl"), questions)
    return workplace


def searched(xinye, question, *arguments):
    outcome = xinye("knowledge", "search", "kb", question, "--json", *arguments)
    assert outcome.code == 0
    return json.loads(outcome.out)


def test_a_question_about_something_else_is_refused(xinye, trees):
    assert Path("kb/calibration.json").is_file()  # of questions made of the passages
    answered = searched(xinye, "梧桐能长到几米高？")
    assert not answered["refused"] and answered["confidence"] > 0.5
    refused = searched(xinye, "明天北京天气怎么样？", "-n", "1")
    assert refused["confidence"] < 0.3 and "does not mention" in refused["refused"]
    assert "天气" in refused["refused"]
    screen = xinye("knowledge", "search", "kb", "股票今天涨了吗？冬天呢")
    assert screen.out.startswith("no answer: the confidence is") and "\n1  " in screen.out


def test_a_refusal_is_chinese_to_its_last_word(xinye, trees, monkeypatch):
    monkeypatch.setenv("XINYE_LANGUAGE", "zh")
    for question in ("明天北京天气怎么样？", "合同里糖和醋的比例是多少？", "梧桐公司能涨价吗？"):
        first, nearest, *_ = xinye("knowledge", "search", "kb", question).out.split("\n")
        assert nearest == "最接近的段落：" and first.startswith("没有答案：置信度为 ")
        assert not re.search("[A-Za-z]", first.replace("--precision", "")), first
    for reason in (
        NOTHING_FOUND.refused,
        NOT_IN_HERE,
        NOT_IN_THESE,
        "the question asks for no relation that the model knows",
        "no triple of the graph has the relation '价格'; did you mean '价钱'?",
        "the question may mean several entities, such as 甲, 乙; name one",
        "neither the question nor an earlier one names an entity of the graph",
        "the graph does not say it: 甲: 地址; 乙: 电话",
    ):
        assert not re.search("[A-Za-z]", shown(f"no answer: {reason}")), reason


def test_the_words_that_a_passage_lacks():
    found = Found("公司可以解除合同。", 1.0, "", "", "", None, 0)
    assert lacking_words("糖和醋的比例是多少？", found) == ["糖和醋的比例"]
    assert lacking_words("解除了婚约能吗", found) == ["婚约"]
    assert lacking_words("合同的功能", found) == ["功能"]
    assert lacking_words("合同是的吗", found) == []


def test_a_base_that_never_refuses_says_so(xinye, workplace):
    Path("a.txt").write_text("面馆早上六点开门。", "utf-8")
    for command in (("build", "a.txt", "-o", "kb"), ("search", "kb", "几点开门？")):
        told = xinye("knowledge", *command)
        assert told.code == 0 and "kb: never refuses, because fewer than 20 passages" in told.err


def test_a_base_is_calibrated_on_questions_and_evaluated_on_others(xinye, trees):
    shown = xinye("knowledge", "calibrate", "kb", "q.jsonl", "--precision", "0.95")
    assert shown.code == 0 and "40 questions" in shown.out and "BM25 score alone" in shown.out
    questions = [
        {"question": "枫木的叶子什么时候落光？", "answer": "枫木的叶子"},
        {"question": "苹果多少钱一斤？", "answerable": False},
        {"question": "Who won the cup?", "answer": ""},
    ]
    write_json_lines(Path("test.jsonl"), questions)
    result = json.loads(xinye("knowledge", "evaluate", "kb", "test.jsonl", "--json").out)
    refusal = result["refusal"]
    assert (result["questions"], refusal["questions"], refusal["without_answer"]) == (1, 3, 2)
    assert refusal["found"] == {"answered": pytest.approx(1 / 3), "precision": 1.0}
    again = xinye("knowledge", "evaluate", "kb", "q.jsonl")
    assert "40 questions of the calibration are among them" in again.err
    Path("more.txt").write_text("枇杷不高。", "utf-8")
    xinye("knowledge", "add", "kb", "more.txt")  # keeps a calibration of the user's
    assert not json.loads(Path("kb/calibration.json").read_text("utf-8"))["made"]


def test_a_calibration_that_cannot_be_is_refused(xinye, trees):
    write_json_lines(Path("few.jsonl"), [{"question": "梧桐", "title": "第0页"}])
    write_json_lines(Path("without.jsonl"), [{"question": "梧桐", "answerable": False}])
    before = Path("kb/calibration.json").read_bytes()
    for arguments, says in (
        (["calibrate", "kb", "q.jsonl", "--precision", "95"], "not between 0.5 and 0.99"),
        (["calibrate", "kb", "none.jsonl"], "none.jsonl"),
        (["calibrate", "kb", "few.jsonl"], "1 questions are too few"),
        (["evaluate", "kb", "without.jsonl"], "none of the questions has an answer"),
    ):
        outcome = xinye("knowledge", *arguments)
        assert outcome.code == 2 and says in outcome.complaint
    assert Path("kb/calibration.json").read_bytes() == before
