"""Proofreading: records in every format, errors by rule, evidence for edits, and use."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import xinye as package
from xinye import machine
from xinye.data.files import write_json_lines
from xinye.data.notes import Notes
from xinye.errors import XinyeError
from xinye.evaluation.edits import Edit, applied, units_of
from xinye.evaluation.proofreading import Candidate, Pair, edits_between
from xinye.tasks import proofread, proofread_evidence, proofread_search
from xinye.tasks.proofread import Proofread
from xinye.tasks.proofread_candidates import Confusable, Option, Reading
from xinye.tasks.proofread_confusions import Alike, Confusions, homophones, same_sound
from xinye.tasks.proofread_errors import ErrorMaker
from xinye.tasks.proofread_evidence import NO_EDIT, USUAL, Evidence, joined, learned
from xinye.tasks.proofread_exercise import proofs
from xinye.tasks.proofread_known import Known
from xinye.tasks.proofread_records import ProofText
from xinye.tasks.proofread_search import Weighed, Weighing
from xinye.tasks.records import unseen

pytest.importorskip("pypinyin")

ZH = ("对不气，最近我很忙。", "对不起，最近我很忙。")
EN = ("I want two go too the park.", "I want to go to the park.")
DATA = Path(__file__).parents[3] / "shared" / "data" / "sighan15_zh"


def read(path: Path, content: str, notes: Notes | None = None, **columns) -> list[ProofText]:
    path.write_text(content, "utf-8")
    return Proofread.read([str(path)], notes=notes, **columns)


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.tsv", "\t".join(ZH) + "\n" + "\t".join(EN) + "\n"),
        ("a.csv", f'wrong,right\n"{ZH[0]}","{ZH[1]}"\n"{EN[0]}","{EN[1]}"\n'),
        ("a.jsonl", "".join(json.dumps({"原文": w, "正确": r}) + "\n" for w, r in (ZH, EN))),
        (
            "a.json",
            json.dumps(
                [
                    {"id": "1", "original_text": w, "wrong_ids": [2], "correct_text": r}
                    for w, r in (ZH, EN)
                ]
            ),
        ),
    ],
)
def test_pairs(tmp_path, name, content):
    notes = Notes()
    found = read(tmp_path / name, content, notes)
    assert [(each.wrong, each.right, each.made) for each in found] == [(*ZH, False), (*EN, False)]
    assert notes.sentences() == []


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_right_texts_get_errors_that_depend_on_the_text_alone(tmp_path, name):
    texts = [f"今天是{number}号，我们去公园玩，天气很好。" for number in range(40)]
    lines = [json.dumps({"正文": text}) if name.endswith("jsonl") else text for text in texts]
    found = read(tmp_path / name, "\n".join(lines))
    assert [each.right for each in found] == texts and all(each.made for each in found)
    assert found == read(tmp_path / name, "\n".join(lines))
    assert 8 < sum(each.wrong == each.right for each in found) < 32


def test_bad_pairs_are_named(tmp_path):
    path = tmp_path / "a.csv"
    with pytest.raises(XinyeError, match=r"a.csv, line 3, field 'wrong': the text is empty"):
        read(path, f"wrong,right\n{ZH[0]},{ZH[1]}\n,{ZH[1]}\n")
    with pytest.raises(XinyeError, match="there is a correct text in 'right', but no wrong one"):
        read(path, "right,other\n我们,他们\n")
    with pytest.raises(
        XinyeError, match=r"no records in it; a sentence without .* \(2 times, first"
    ):
        read(tmp_path / "a.txt", "！！\n？？\n")
    notes = Notes()
    kept = read(path, f"wrong,right\n{ZH[0]},{ZH[1]}\n一二三四五,甲乙丙丁戊己\n", notes)
    assert len(kept) == 1 and "more than half of the text is different" in notes.sentences()[0]
    notes = Notes()
    lines = f"wrong,right\n{'一' * 300},{'二' * 300}\n{'一' * 60}甲,{'一' * 60}\n"
    assert len(read(path, lines, notes)) == 1
    assert "differs in too many places" in notes.sentences()[0]
    confusions = tmp_path / "same.txt"
    confusions.write_text("太阳\t大阳\n", "utf-8")
    with pytest.raises(XinyeError, match=r"same.txt, line 1: expected a character"):
        read(path, f"wrong,right\n{ZH[0]},{ZH[1]}\n", confusions=(str(confusions),))


@pytest.mark.parametrize(
    "content, named, pairs",
    [
        (f"correct,note\n{ZH[1]},x\n", {"text_field": "correct"}, None),  # correct texts alone
        (f"{ZH[0]}\t{ZH[1]}\n", {"text_field": "2"}, None),
        (f"note\tfixed\n{ZH[0]}\t{ZH[1]}\n", {"text_field": "note", "answer_field": "fixed"}, ZH),
        (f"right\twrong\n{ZH[0]}\t{ZH[1]}\n", {"text_field": "right", "answer_field": "wrong"}, ZH),
    ],
)  # fmt: skip
def test_a_named_column_is_read_as_what_it_was_named(tmp_path, content, named, pairs):
    [found] = read(tmp_path / "a.tsv" if "\t" in content else tmp_path / "a.csv", content, **named)
    assert found.right == ZH[1] and found.made == (pairs is None)
    assert pairs is None or found.wrong == ZH[0]


def test_a_named_column_is_there_and_has_another_beside_it(tmp_path):
    content = f"text,fixed\n{ZH[0]},{ZH[1]}\n"
    with pytest.raises(XinyeError, match="correct text in 'fixed', but no wrong one among text"):
        read(tmp_path / "a.csv", content, answer_field="fixed")
    with pytest.raises(XinyeError, match=r"line 2: no field 'wrongs' \(--text-field\)"):
        read(tmp_path / "a.csv", content, text_field="wrongs")


def test_confusions_are_read_in_both_directions(tmp_path):
    path = tmp_path / "same.txt"
    path.write_text("#汉字\t同音\n太\t大犬\n末\t未\n", "utf-8")
    table = Confusions([path])
    assert table.of("太") == ("大", "犬") and table.of("未") == ("末",) and table.of("x") == ()


def test_the_same_sound():
    assert "在" in same_sound("再") and "四" in same_sound("是") and "再" not in same_sound("再")
    assert homophones("There") == ("Their", "They're") and homophones("Xinye") == ()
    assert Alike(["在", "你", "their", "there", "cat"]).of("再") == ("在",)
    assert Alike(["receive", "there", "cat"]).of("recieve") == ("receive",)
    assert Alike(["then"]).of("than") == ("then",)


@given(st.text(), st.integers(1, 4))
@example(":0\U000200000", 1)  # the error joins the digits, so it takes three edits
@settings(max_examples=30, deadline=None)
def test_errors_are_at_most_as_many_as_asked(text, count):
    wrong = ErrorMaker().spoiled(text, count, Random(0))
    assert len(edits_between(wrong, text)) <= 3 * count or len(units_of(text)) > 200


def test_a_record_with_a_correct_text_of_training_is_not_unseen():
    seen, new = (ProofText("", right, "a.csv, line 2") for right in (ZH[1], EN[1]))
    assert unseen([ProofText(*ZH, "b.csv, line 2")], [seen, new]) == [new]


def test_the_baseline_learns_nothing_from_the_records_that_choose_its_threshold(monkeypatch):
    seen: dict[str, set[str]] = {}

    def watched(name):
        function = getattr(proofread, name)

        def call(records, *others, **named):
            seen[name] = {record.right for record in records}
            return function(records, *others, **named)

        monkeypatch.setattr(proofread, name, call)

    watched("confused")
    watched("best_threshold")
    texts = [f"今天是{number}号，最近我很忙。" for number in range(20)]
    pairs = [ProofText(text.replace("忙", "盲"), text, "a.csv, line 2") for text in texts * 2]
    Proofread.of(pairs).baseline(pairs, pairs[:1])
    assert len(seen["best_threshold"]) > 2 and seen["best_threshold"].isdisjoint(seen["confused"])


@pytest.fixture(scope="module")
def proofreader(trained, tmp_path_factory) -> Path:
    """The folder of a model that knows a few corrections by heart."""
    folder = tmp_path_factory.mktemp("proofreader")
    rows = [
        {"wrong": wrong, "right": right} for wrong, right in (ZH, ("我我们去玩。", "我们去玩。"))
    ]
    rows += [{"wrong": right, "right": right} for _, right in (ZH, EN)]
    write_json_lines(folder / "pairs.jsonl", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "matrix_flops_per_second", lambda *arguments, **named: 1e11)
        package.finetune(
            trained, folder / "run", task="proofread", data=folder / "pairs.jsonl",
            validation=folder / "pairs.jsonl", epochs=30, evaluations=1, dropout=0.0,
            dtype="float32", learning_rate=0.01, progress=False,
        )  # fmt: skip
    return folder / "run"


def test_a_model_corrects_what_it_has_learned(proofreader):
    model = package.load(proofreader)
    found = model.proofread([ZH[0], "我我们去玩。", EN[1]])
    assert [each["corrected"] for each in found] == [ZH[1], "我们去玩。", EN[1]]
    [edit] = found[0]["edits"]
    assert (edit["start"], edit["end"], edit["replacement"]) == (2, 3, "起")
    assert 0.5 < edit["probability"] <= 1


TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200)


@given(TEXTS)
@settings(max_examples=25, deadline=None)
def test_a_text_without_changes_comes_back_as_it_was(proofreader, text):
    model = package.load(proofreader)
    model.task.evidence = replace(USUAL, threshold=NO_EDIT)
    assert model.proofread(text) == {"text": text, "corrected": text, "edits": []}


@given(TEXTS)
@settings(max_examples=25, deadline=None)
def test_edits_make_the_corrected_text(proofreader, text):
    model = package.load(proofreader)
    model.task.evidence = replace(USUAL, threshold=-9.0)
    found = model.proofread(text)
    edits = [Edit(each["start"], each["end"], each["replacement"]) for each in found["edits"]]
    assert applied(text, edits) == found["corrected"]


@pytest.mark.parametrize("text", [f"{ZH[0]}\n{ZH[0]}", EN[0], "我我 go two"])
def test_the_gain_is_that_of_the_whole_text(proofreader, monkeypatch, text):
    monkeypatch.setattr(proofread_search, "LOOK", 500)
    model = package.load(proofreader)
    network, tokenizer = model.gpt.float(), model.tokenizer
    network.compute_dtype = torch.float32

    def log_probability(text: str) -> float:
        tokens = torch.tensor([[*tokenizer.prefix, *tokenizer.encode(text), tokenizer.eos_id]])
        with torch.no_grad():
            return -float(network.loss(tokens[:, :-1], tokens[:, 1:]))

    [part] = model.task.search(network, tokenizer, 512).weighed(text)
    assert len(part.edits) > 3
    for each in part.edits:
        changed = applied(text, [each.option.edit])
        assert each.gain == pytest.approx(
            log_probability(changed) - log_probability(text), abs=2e-3
        )


def test_weights_are_learned_from_right_and_wrong_edits():
    def weighing(at: int, right: str, gain: float) -> Weighing:
        options = [(Edit(at, at + 1, right), gain), (Edit(at, at + 1, "错"), gain / 3)]
        edits = [
            Weighed(Option(edit, "sound", at), value, 0.0, -5.0, -1.0) for edit, value in options
        ]
        return Weighing("我们去公圆玩", 0, edits)

    chance = Random(0)
    pairs = [Pair("我们去公圆玩", "我们去公园玩"), Pair("我们去公园玩", "我们去公园玩")] * 40
    found = [[weighing(4 if pair.wrong != pair.right else 3, "园",
                       chance.gauss(9 if pair.wrong != pair.right else 1, 1))]
             for pair in pairs]  # fmt: skip
    evidence, candidates = learned(pairs, found)
    assert len(candidates) == 80 and all(len(each) == 1 for each in candidates)
    made = [evidence.chosen(parts) for parts in found]
    assert [len(each) for each in made] == [1, 0] * 40
    assert Evidence.from_json(evidence.to_json(), "result.json") == evidence


def test_texts_without_errors_choose_no_threshold():
    clean = [Pair("我们去公园玩", "我们去公园玩"), Pair("我们去公园玩", "我们去 公园玩")]
    weighed = Weighed(Option(Edit(3, 4, "圆"), "sound", 3), 1.0, 0.0, -5.0, -1.0)
    found = [[Weighing(pair.wrong, 0, [weighed])] for pair in clean]
    assert learned(clean, found)[0] == USUAL


def test_right_edits_alone_teach_no_weights():
    pairs = [Pair("我们去公圆玩", "我们去公园玩")] * 40
    weighed = Weighed(Option(Edit(4, 5, "园"), "sound", 4), 9.0, 0.0, -5.0, -1.0)
    found = [[Weighing(pair.wrong, 0, [weighed])] for pair in pairs]
    evidence, _ = learned(pairs, found)
    assert evidence == replace(USUAL, threshold=evidence.threshold)


def test_a_proofreader_that_changes_nothing_says_so():
    evidence = replace(USUAL, threshold=NO_EDIT).to_json()
    assert "changes nothing" in Proofread.notes_on_figures({"evidence": evidence})[0]
    assert not Proofread.notes_on_figures({"evidence": USUAL.to_json()})


def test_an_evaluation_says_that_the_proofreader_changes_nothing(proofreader, tmp_path):
    folder = shutil.copytree(proofreader, tmp_path / "run")
    path = folder / "training" / "result.json"
    result = json.loads(path.read_text("utf-8"))
    result["measured"]["evidence"]["threshold"] = None
    path.write_text(json.dumps(result), "utf-8")
    data = proofreader.parent / "pairs.jsonl"
    notes = [package.load(each).evaluate_task(data, baseline=False)["notes"]
             for each in (folder, proofreader)]  # fmt: skip
    assert [any("changes nothing" in note for note in each) for each in notes] == [True, False]


def test_words_that_are_too_long_to_write_are_not_kept(tmp_path):
    long = "a" * 101
    rows = [f"I sea it {word} here,I see it {long} here" for word in (long, f"{long}b")]
    content = "\n".join(["wrong,right", *rows])
    known = Known.learned(read(tmp_path / "a.csv", content))
    assert known.words == ["I", "see", "it", "here"] and known.confusions == {"sea": {"see": 2}}


def test_a_second_look_adds_edits_at_their_places_in_the_first_text():
    text = "0123456789"
    first = [Candidate(Edit(2, 3, ""), 1.0), Candidate(Edit(6, 6, "ab"), 1.0)]
    assert applied(text, [each.edit for each in first]) == "01345ab6789"
    # before both, beside the deletion, between, at both ends of the insertion, behind both
    again = [Edit(0, 1, "x"), Edit(2, 3, "x"), Edit(4, 4, "y"), Edit(6, 7, "x"), Edit(7, 8, "x"),
             Edit(9, 11, "z")]  # fmt: skip
    found = joined(first, [Candidate(edit, 2.0) for edit in again])
    assert applied(text, [each.edit for each in found]) == "x134y5ab67z"


def options(tokenizer, text: str, known: Known, missing: tuple[int, str] | None = None) -> set:
    """The kinds and edits that are proposed for a text, whose tokens are all equally probable, but
    for one before which a unit is `missing`."""
    encoding = tokenizer.encodings([text])[0]
    tokens = [*encoding.ids, tokenizer.eos_id]
    table = torch.full((len(tokens), tokenizer.vocab_size), -2.0)
    places: dict[int, int] = {}
    for number, (start, _) in enumerate(encoding.offsets):
        places.setdefault(start, number)
    if missing:
        place = places[missing[0]]
        table[place, tokens[place]] = -9.0
        table[place, tokenizer.encode(missing[1])[0]] = -1.0
    found = Confusable(tokenizer, known).options(Reading(text, tokens, places, table))
    return {(each.kind, each.edit) for each in found}


def test_each_kind_of_edit_is_proposed(proofreader):
    tokenizer = package.load(proofreader).tokenizer
    one, two, three, *_ = Confusable(tokenizer, Known()).alone
    known = Known(words=["the", "park"], confusions={"。": {"？": 3}, "忙": {"盲": 0}})
    found = options(tokenizer, f"{one}{one}{two}忙。", known, (2, three))
    assert {
        ("people", Edit(4, 5, "？")), ("shape", Edit(3, 4, "盲")), ("delete", Edit(1, 2, "")),
        ("insert", Edit(2, 2, three)),
    } <= found  # fmt: skip
    assert ("letters", Edit(3, 7, "park")) in options(tokenizer, "to prak", known)
    heard = next(each for each in Confusable(tokenizer, known).alone if same_sound(each))
    assert any(kind == "sound" for kind, _ in options(tokenizer, same_sound(heard)[0], known))


def test_what_a_run_knows_is_read_again(proofreader):
    assert package.load(proofreader).task.known.confusions["气"] == {"起": 1}


@pytest.mark.parametrize("words", [[""], [3], "the"])
def test_damaged_words_are_told(proofreader, tmp_path, words):
    folder = shutil.copytree(proofreader, tmp_path / "run")
    path = folder / "training" / "settings.json"
    content = json.loads(path.read_text("utf-8"))
    content["data"]["words"] = words
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(XinyeError, match=r"settings\.json"):
        package.load(folder).proofread("我")


@pytest.mark.parametrize(
    "damaged", [3, {}, {"weights": {"gain": 1}, "threshold": 0}, {"weights": [], "threshold": "x"}]
)
def test_damaged_weights_are_told(damaged):
    with pytest.raises(XinyeError, match=r"result.json: the weights of its edits are damaged"):
        Evidence.from_json(damaged, "result.json")
    whole = USUAL.to_json()
    for threshold in ("9", float("nan"), float("inf"), 10**400):
        with pytest.raises(XinyeError, match="damaged"):
            Evidence.from_json(whole | {"threshold": threshold}, "result.json")
    assert Evidence.from_json(whole | {"threshold": None}, "result.json").threshold == NO_EDIT


def test_what_people_confuse_is_kept_with_how_often(tmp_path):
    table = tmp_path / "same.txt"
    table.write_text("起\t赴超\n", "utf-8")
    records = [ProofText(*ZH, "a.csv", maker=ErrorMaker(Confusions([table])))] * 2
    known = Known.learned(records)
    assert known.confusions == {"赴": {"起": 0}, "超": {"起": 0}, "气": {"起": 2}}
    words = Known.learned([ProofText(*EN, "a.csv")] * 2).words
    assert words == ["to", "I", "want", "go", "the", "park"]


def test_nothing_is_learned_from_validation():
    task = Proofread.of([ProofText(*ZH, "a.csv"), ProofText(*EN, "a.csv")])
    task.facts([ProofText(*ZH, "a.csv")])
    assert task.known.confusions == {"气": {"起": 1}} and not task.known.words


def test_few_texts_with_errors_have_folds_of_their_own(monkeypatch):
    monkeypatch.setattr(proofread_evidence, "FEW", 2)
    option = Option(Edit(1, 2, "们"), "sound", 1)
    wrong, right = Pair("我门", "我们"), Pair("我门", "我门")
    found = [[Weighing("我门", 0, [Weighed(option, gain, gain, -5.0, -1.0)])]
             for gain in (9.0, 8.0, 1.0, 2.0)]  # fmt: skip
    evidence, _ = learned([wrong, wrong, right, right], found)
    assert evidence.weights != USUAL.weights
    evidence, _ = learned([wrong, right, right, right], found)
    assert evidence.weights == USUAL.weights


def test_every_sentence_of_a_long_text_is_read(proofreader):
    found = package.load(proofreader).proofread("\n\n".join([ZH[0]] * 30))
    assert found["corrected"] == "\n\n".join([ZH[1]] * 30)


def test_the_command_prints_the_text_or_its_changes(proofreader, xinye, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(f"{ZH[0]}\n\n\t{EN[1]}\n", "utf-8")
    assert xinye("proofread", proofreader, path).out == f"{ZH[1]}\n\n\t{EN[1]}\n"
    said = xinye("proofread", proofreader, path, "--diff")
    assert said.out == f"对不[-气-]{{+起+}}，最近我很忙。\n\n\t{EN[1]}\n"
    assert "1 change" in said.err
    [row] = json.loads(xinye("proofread", proofreader, path, "--json").out)["results"]
    assert len(row["edits"]) == 1 and row["text"] == path.read_text("utf-8")


def test_a_base_without_training_proofreads_with_a_note(trained, xinye):
    said = xinye("proofread", trained, ZH[1], "--json")
    assert json.loads(said.out)["results"][0]["text"] == ZH[1]
    assert "was not trained to proofread" in said.err


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_demo_has_texts_with_and_without_errors(language):
    rows = proofs(200, language)
    assert rows == proofs(200, language)
    assert 60 < sum(row["wrong"] == row["right"] for row in rows) < 140


@pytest.mark.skipif(not DATA.is_dir(), reason="the data of SIGHAN 2015 are not here")
def test_the_files_of_sighan():
    pairs = Proofread.read([str(DATA / "sighan15_test.tsv")])
    assert len(pairs) == 1100 and sum(each.wrong == each.right for each in pairs) == 557
    assert len(Proofread.read([str(DATA / "sighan15_train.json")])) > 2300
    tables = Confusions([DATA / "same_pinyin.txt", DATA / "same_stroke.txt"])
    assert "已" in tables.of("乙") and "默" in tables.of("黑")
