"""`xinye answer` as a person meets it: a reader that learned eight questions by heart."""

import json
import shutil
from pathlib import Path

import pytest

import xinye as package
from xinye import machine
from xinye.cli.main import main
from xinye.data.files import write_json_lines
from xinye.errors import XinyeError
from xinye.retrieval.graph import Graph
from xinye.retrieval.knowledge import KnowledgeBase

RULES = ["铺子八点开门。", "铺子六点关门。", "退货七天之内。", "运费是五块钱。"]
QUESTIONS = [
    ("几点开门？", 0, "八点"),
    ("几点关门？", 1, "六点"),
    ("几天能退货？", 2, "七天"),
    ("运费多少？", 3, "五块钱"),
    ("几点开门？", 3, ""),
    ("几点关门？", 2, ""),
    ("几天能退货？", 0, ""),
    ("运费多少？", 1, ""),
]
# The answer to the last but one is in no rule, and no rule has a word of the last one.
TABLE = "question,answer\n" + "".join(
    f"{question},{answer}\n"
    for question, _, answer in (*QUESTIONS[:4], ("运费谁付？", 0, "买家"), ("xyz", 0, ""))
)
FAST = (
    *("--epochs", 60, "--evaluations", 1, "--dropout", 0, "--dtype", "float32"),
    *("--learning-rate", 0.01),
)


@pytest.fixture(scope="module")
def reader(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader, with its records beside it."""
    folder = tmp_path_factory.mktemp("reader")
    records = [
        {"question": question, "context": RULES[rule], "answer": answer}
        for question, rule, answer in QUESTIONS
    ]
    write_json_lines(folder / "records.jsonl", records)
    data = folder / "records.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "matrix_flops_per_second", lambda *arguments, **named: 1e11)
        command = ["finetune", trained, "--task", "answer", "--data", data, "--validation", data,
                   "-o", folder / "run", *FAST]  # fmt: skip
        assert main([str(each) for each in command]) == 0
    return folder / "run"


@pytest.fixture
def place(workplace: Path) -> Path:
    """A folder with the rules as a document, and a knowledge base of them."""
    (workplace / "qa.csv").write_text(TABLE, "utf-8")
    (workplace / "rules.md").write_text("# 规矩\n\n" + "\n\n".join(RULES) + "\n", "utf-8")
    write_json_lines(Path("rules.jsonl"), [{"title": "规矩", "text": rule} for rule in RULES])
    KnowledgeBase.build("kb", ["rules.jsonl"])
    return workplace


def test_it_is_evaluated_beside_its_baseline(xinye, reader):
    outcome = xinye("evaluate", reader, "--data", reader.parent / "records.jsonl", "--json")
    found = json.loads(outcome.out)
    assert found["measured"]["f1"] == found["measured"]["refused_rightly"] == 1
    assert 0 < found["baseline"]["f1"] < 0.7


def test_a_table_without_passages_is_evaluated_from_a_knowledge_base(xinye, reader, place):
    outcome = xinye("evaluate", reader, "qa.csv", "--knowledge", "kb", "--json")
    found = json.loads(outcome.out)
    model, sentence = found["measured"], found["baseline"]
    assert (found["records"], model["refused_rightly"], model["found"]) == (6, 1, 0.8)
    answers = [package.load(reader).answer(each[0], knowledge=KnowledgeBase("kb")).text
               for each in QUESTIONS[:4]]  # fmt: skip
    right = sum(answer == each[2] for answer, each in zip(answers, QUESTIONS, strict=False))
    assert model["exact_match"] == pytest.approx((right + 1) / 6) and right >= 2
    assert sentence["f1"] < model["f1"] and sentence["exact_match"] == pytest.approx(1 / 6)
    shown = xinye("evaluate", reader, "--data", "qa.csv", "--knowledge", "kb").out
    assert "for 4 of 5 questions, the first 5 passages have a right answer" in shown
    assert "1 of 6 questions have no right answer" in shown and "rightly refused" in shown
    assert xinye("evaluate", reader, "qa.csv", "--knowledge", "no").code == 2
    assert "--knowledge KB" in xinye("evaluate", reader, "qa.csv").complaint


def test_questions_that_were_learned_from_are_told(xinye, reader, place):
    asked = [{"question": f"几点开门？{'啊' * each}", "answer": "八点"} for each in range(20)]
    asked += [{"question": f"谁开车去？{'啊' * each}", "answer": ""} for each in range(20)]
    write_json_lines(Path("asked.jsonl"), asked)
    assert xinye("knowledge", "calibrate", "kb", "asked.jsonl").code == 0
    shown = xinye("evaluate", reader, "qa.csv", "--knowledge", "kb")
    told = " ".join((shown.out + shown.err).split())
    assert "contain 4 of 6 validation records, which makes the model look better" in told
    assert "1 question of the calibration are among them" in told
    Path("new.csv").write_text("question,answer\n门几点开？,八点\n", "utf-8")
    found = package.load(reader).evaluate_task("new.csv", knowledge="kb")
    assert not any("contain" in note or "calibration" in note for note in found["notes"])


def test_passages_of_a_table_are_found_to_learn_from(xinye, trained, place):
    checked = xinye("data", "check", "qa.csv", "--task", "answer", "--knowledge", "kb").out
    assert "answered 4" in checked and "铺子[八点 answer]开门。" in checked
    assert "none of the first 20 passages found has the answer: left out (qa.csv, line 6" in checked
    assert "no passage has a word of the question: left out (qa.csv, line 7)" in checked
    command = ["finetune", trained, "--task", "answer", "--data", "qa.csv", "--validation",
               "qa.csv", "--knowledge", "kb", "-o", "run", "--steps", 1]  # fmt: skip
    assert xinye(*command).code == 0
    Path("more.txt").write_text("几天能退货：七天。", "utf-8")
    KnowledgeBase("kb").add(["more.txt"])
    assert "records have changed" in xinye(*command[:-1], 2, "--resume").complaint
    Path("qa.csv").write_text("question,answer\n几点？,午时\n", "utf-8")
    assert "none of the passages found" in xinye(*command, "--overwrite").complaint
    wrong = ["finetune", trained, "--task", "classify", *command[4:]]
    assert "knowledge has no effect on the task classify" in xinye(*wrong).complaint


def test_an_answer_shows_its_sentence_and_source(xinye, reader, place):
    outcome = xinye("answer", reader, "几点关门？", "--knowledge", "kb")
    assert outcome.code == 0
    assert outcome.out.startswith("六点\n  铺子六点关门。\n  规矩  rules.jsonl:2  ")
    told = json.loads(xinye("answer", reader, "几点关门？", "--knowledge", "kb", "--json").out)
    (result,) = told["results"]
    assert (result["text"], result["refused"], result["source"]["line"]) == ("六点", "", 2)


def test_what_is_not_in_here_is_refused_and_the_passages_are_shown(xinye, reader, place):
    outcome = xinye("answer", reader, "xyz", "--knowledge", "kb")
    assert outcome.code == 0 and "no passage has a word" in outcome.out
    Path("other.txt").write_text("运费是五块钱。", "utf-8")
    outcome = xinye("answer", reader, "几点开门？", "--passage", "other.txt")
    assert outcome.code == 0 and "no passage has a word" in outcome.out


def test_a_file_of_questions_and_a_passage(xinye, reader, place):
    Path("questions.txt").write_text("几点开门？\n运费多少？\n", "utf-8")
    Path("passage.txt").write_text("铺子八点开门。", "utf-8")
    outcome = xinye("answer", reader, "questions.txt", "--passage", "passage.txt")
    assert outcome.out.startswith("几点开门？\n八点\n  铺子八点开门。\n")


@pytest.mark.parametrize("threshold", ["learned", "none learned", 1e9, None])
def test_evaluate_answer_and_explain_refuse_the_same(xinye, reader, workplace, tmp_path, threshold):
    """Whatever the threshold is: that of the folder, a high one, or null, which refuses nothing."""
    folder = shutil.copytree(reader, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert "answer_threshold" in config
    if threshold == "none learned":
        del config["answer_threshold"]
    elif threshold != "learned":
        config["answer_threshold"] = threshold
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    model = package.load(folder)
    refused = {}
    for question, rule, answer in QUESTIONS:
        # the rule shares a word with each question, so that only the model can refuse
        passage = f"{RULES[rule]}几点退货开关运费。"
        row = {"question": question, "context": passage, "answer": answer}
        write_json_lines(Path("one.jsonl"), [row])
        measured = model.evaluate_task("one.jsonl")["measured"]
        answered = bool(model.answer(question, knowledge=passage).text)
        (explained,) = model.explain((question, passage))
        assert (
            answered
            == bool(explained.decision)
            == bool(model.use("answer", [(question, passage)])[0]["text"])
        )
        if not answer:
            assert answered == bool(measured["answered"])
        elif not answered:
            assert measured["f1"] == 0
        refused[question, rule] = not answered
    if threshold in (1e9, None):
        assert {*refused.values()} == {threshold is not None}
    Path("other.txt").write_text("运费是五块钱，几点都一样。", "utf-8")
    outcome = xinye("answer", folder, "几点开门？", "--passage", "other.txt")
    explained = xinye("explain", folder, "几点开门？", "--passage", "other.txt").out
    refused = outcome.out.startswith("no answer: ")
    assert refused == explained.startswith("(not in the passage)")


def test_in_python(reader, place):
    model = package.load(reader)
    answered = model.answer("几点开门？", knowledge="铺子八点开门。")
    assert (answered.text, answered.sentence) == ("八点", "铺子八点开门。")
    assert model.answer("几点开门？", knowledge=["运费是五块钱。", "铺子八点开门。"]).text == "八点"
    assert model.answer("几点开门？", knowledge=KnowledgeBase("kb")).source.title == "规矩"


@pytest.mark.parametrize("count", [0, -1, 2.5])
def test_an_argument_without_effect_is_refused_in_python(reader, place, count):
    model, base = package.load(reader), KnowledgeBase("kb")
    with pytest.raises(XinyeError, match="is not a whole number"):
        model.answer("几点开门？", knowledge=base, count=count)
    for knowledge in (RULES, Graph([])):
        for given in ({"count": 3}, {"precision": 0.9}):
            with pytest.raises(XinyeError, match="has an effect on a knowledge base only"):
                model.answer("几点开门？", knowledge=knowledge, **given)


def test_the_end_of_a_long_question_that_is_not_read_is_counted(xinye, reader, place):
    asked = ("answer", reader, "几点关门？" + "请" * 15, "--passage", "rules.md")  # 22 tokens
    told = "did not read 12 tokens at its end"  # a third of the context, 10, is for the question
    assert told in xinye(*asked).err and told not in xinye(*asked[:2], "几点？", *asked[3:]).err
    assert json.loads(xinye(*asked, "--json").out)["results"][0]["left_out"] == 12
    answered = package.load(reader).answer(asked[2], knowledge=RULES)
    assert (
        answered.left_out == 12
        and package.load(reader).answer("几点？", knowledge=RULES).left_out == 0
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["几点？"], "say what to answer from: --passage FILE, --knowledge KB or --graph FILE"),
        (["几点？", "--passage", "rules.md", "--knowledge", "kb"], "use only one of --passage"),
        (["几点？", "--passage", "bin.tsv"], "use --bad-bytes replace"),
        ([" ", "--knowledge", "kb"], "the text is empty"),
        (["几" * 2001, "--knowledge", "kb"], "the question has 2,001 characters; at most 2,000"),
        (["几点？", "--passage", "empty.txt"], "there is no text to answer from"),
        (["几点？", "--passage", "none.txt"], "none.txt"),
        (["几点？", "--passage", "bad.pdf"], "bad.pdf: not a complete PDF file"),
        (["几点？", "--knowledge", "zh.txt"], "zh.txt"),
        (["几点？", "--knowledge", "kb", "-n", "0"], "--count: use at least 1"),
        (["几点？", "--passage", "rules.md", "-n", "3"], "--count needs --knowledge"),
        (["几点？", "--graph", "rules.md", "-n", "3"], "--count needs --knowledge"),
    ],
)
def test_bad_input(xinye, reader, place, arguments, says):
    Path("empty.txt").touch()
    Path("bin.tsv").write_bytes("问\t答\n".encode() * 9 + b"\x81\xff\x80\n")
    Path("bad.pdf").write_text("no PDF", "utf-8")
    outcome = xinye("answer", reader, *arguments)
    assert outcome.code == 2 and says in outcome.complaint


def test_a_model_that_does_not_read_says_what_to_do(xinye, trained, place):
    outcome = xinye("answer", trained, "几点？", "--knowledge", "kb")
    assert outcome.code == 2 and "--task answer" in outcome.complaint


def test_an_answer_is_explained_and_so_is_that_there_is_none(xinye, reader, place):
    told = json.loads(xinye("explain", reader, "几点关门？", "--knowledge", "kb", "--json").out)
    [explanation] = told["results"][0]["explanations"]
    assert (explanation["decision"], told["results"][0]["pair"]) == ("六点", RULES[1])
    words = {(word["input"], word["start"]): word["text"] for word in explanation["words"]}
    assert words[0, 2] == "关" and words[1, explanation["start"]] == "六"
    shown = xinye("explain", reader, "几点关门？", "--pair", RULES[1]).out.splitlines()
    assert shown[0].startswith("2–4  六点  ") and shown[1:3] == ["几点关门？", RULES[1]]
    refused = xinye("explain", reader, "几点开门？", "--pair", RULES[3])
    assert refused.out.startswith("(not in the passage)  ")
    outcome = xinye("explain", reader, "几点关门？", "--pair", RULES[1], "--label", "五点")
    assert outcome.code == 2 and "does not have the words '五点'" in outcome.complaint
    assert "--passage FILE, or --pair TEXT" in xinye("explain", reader, "几点关门？").complaint
