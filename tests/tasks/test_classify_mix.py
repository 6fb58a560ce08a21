"""A classifier that is mixed with word counts: its figures, its files, and what becomes of them."""

import json
import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import xinye as package
from xinye.api import Model
from xinye.checkpoints.folders import run_differences
from xinye.errors import XinyeError
from xinye.evaluation.logits import log_loss
from xinye.evaluation.word_counts import UNLIKELY, USUAL, WordCounts
from xinye.runs.folder import RunFolder
from xinye.tasks import classify, classify_end
from xinye.tasks.classify_hard import HardCases
from xinye.tasks.classify_mix import CALIBRATION, COUNTS, NETWORK, PARTS, WORDS, Gain, Mix
from xinye.tasks.classify_records import LabelledText

GOOD, BAD = "好吃快暖香", "坏慢冷苦差"
SHORT = {"steps": 4, "evaluations": 1, "dtype": "float32", "validation_share": 0.25}


def reviews(count: int, wrong: int = 0) -> list[dict[str, str]]:
    """Reviews of which characters tell the label; the first `wrong` have the other one."""
    drawn = random.Random(0)
    rows = []
    for number in range(count):
        words, label = ((GOOD, "好评"), (BAD, "差评"))[number % 2]
        if number < wrong:
            label = {"好评": "差评", "差评": "好评"}[label]
        rows.append(
            {"text": "店" + "".join(drawn.choices(words, k=4)) + str(number), "label": label}
        )
    return rows


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, rows in (("train", reviews(80)), ("test", reviews(40)[1::3])):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        Path(f"{name}.jsonl").write_text("\n".join(lines), "utf-8")
    return tmp_path


@pytest.fixture
def of_others(run: Model) -> None:
    """The run of a folder that nobody vouches for."""
    Path("run/training/manifest.json").unlink()


@pytest.fixture
def run(trained: Path, place: Path) -> Model:
    return package.finetune(trained, "run", data="train.jsonl", **SHORT)


def stopped(*arguments: object) -> None:
    raise KeyboardInterrupt


def result_of(run: str) -> dict:
    return json.loads(Path(run, "training/result.json").read_text("utf-8"))


def test_the_table_has_the_mix_and_each_part_alone(run, xinye):
    found = result_of("run")
    assert found["measured"]["accuracy"] == found["baseline"]["accuracy"] == 1.0
    assert [each["name"] for each in found["mixes"]] == ["the GPT alone"]
    assert found["mixes"][0]["accuracy"] < 1  # after four steps
    assert found["validation"]["accuracy"] == found["measured"]["accuracy"]
    assert found["measured"]["loss"] < found["mixes"][0]["loss"]
    lines = Path("run/training/metrics.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[-1])["accuracy"] == found["mixes"][0]["accuracy"]  # of its curve
    judged = run.evaluate_task("test.jsonl")
    assert judged["measured"]["accuracy"] == 1.0 and len(judged["mixes"]) == 1
    shown = xinye("evaluate", "run", "--data", "test.jsonl").out
    assert shown.index("this model") < shown.index("TF-IDF") < shown.index("the GPT alone")


def test_its_probabilities_are_the_weighted_logits(run):
    weights = json.loads(Path("run", CALIBRATION).read_text("utf-8"))["weights"]
    [mixed] = run.classify(["店好吃"])
    parts = run.task.mix.counts.logits(["店好吃"], run.task.labels)[0] * weights["word_counts"]
    alone = run.task.logits(run.network, run.tokenizer, [("店好吃", "")], 64)[0]
    shares = np.exp(parts + alone * weights["network"])
    assert [*mixed["probabilities"].values()] == pytest.approx(shares / shares.sum())


def test_word_counts_that_are_saved_have_learned_all_of_the_data(run, trained):
    def known(model: Model) -> set[str]:
        terms = {term for block in model.task.mix.counts.blocks for term in block.terms}
        return {str(number) for number in range(10, 99)} & terms

    assert known(run) == {str(number) for number in range(10, 80)}
    lines = [json.dumps(row) for row in reviews(90)[80:]]
    Path("others.jsonl").write_text("\n".join(lines), "utf-8")
    other = package.finetune(
        trained, "other", data="train.jsonl", validation="others.jsonl", **SHORT
    )
    assert known(other) == known(run)  # and nothing of the other file
    [note] = run.evaluate_task("train.jsonl")["notes"]
    assert "the training data contain 80 of 80" in note


def test_without_word_counts_the_network_is_calibrated(trained, place):
    model = package.finetune(trained, "run", data="train.jsonl", mix_baseline=False, **SHORT)
    assert [*json.loads(Path("run", CALIBRATION).read_text("utf-8"))["weights"]] == ["network"]
    assert not Path("run", COUNTS).exists()
    found = result_of("run")
    assert not found["mixes"] and found["baseline"]["accuracy"] == 1.0
    assert "expected calibration error" in found["compared"][0]
    assert model.classify("店好吃")["label"] in ("好评", "差评")


def test_one_validation_record_tells_next_to_nothing(trained, place):
    Path("one.jsonl").write_text(json.dumps(reviews(1)[0]), "utf-8")
    package.finetune(trained, "run", data="train.jsonl", validation="one.jsonl", **SHORT)
    found = Path("run/training/result.json").read_text("utf-8")
    assert "Infinity" not in found and "NaN" not in found
    assert result_of("run")["baseline"]["gain"]["interval"] > 0.5 and "1 validation record" in found


def test_pairs_and_several_labels(trained, place):
    rows = [
        {"text": row["text"], "text_pair": "店", "labels": [row["label"]] * (number % 3 > 0)}
        for number, row in enumerate(reviews(80))
    ]
    Path("train.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    model = package.finetune(trained, "run", data="train.jsonl", **SHORT)
    assert 0 <= result_of("run")["measured"]["calibration_error"] <= 1
    assert {*model.classify(("店好吃", "店"))["probabilities"]} == {"好评", "差评"}
    card = Path("run/README.md").read_text("utf-8")
    for way in ('FOLDER "…" --pair "…"', 'classify(("…", "…"))', '"text_pair": "…"'):
        assert way in card


def test_a_run_that_trains_on_forgets_its_mix(run, trained, monkeypatch):
    monkeypatch.setattr(classify, "complete", stopped)
    with pytest.raises(KeyboardInterrupt):
        package.finetune(trained, "run", data="train.jsonl", resume=True, **SHORT | {"steps": 6})
    assert not Path("run", CALIBRATION).exists() and not Path("run", COUNTS).exists()
    assert package.load("run").classify("店好吃")["label"]  # the network alone
    assert not run_differences(Path("run"))


def test_a_run_killed_before_its_calibration_says_so(xinye, trained, place, monkeypatch):
    monkeypatch.setattr(classify, "complete", stopped)
    with pytest.raises(KeyboardInterrupt):
        package.finetune(trained, "run", data="train.jsonl", **SHORT)
    for command in (("evaluate", "run", "--data", "test.jsonl"), ("classify", "run", "店好吃")):
        done = xinye(*command)
        notes = " ".join((done.out + done.err).split())
        assert "has not come to its end" in notes and "xinye finetune -o run --resume" in notes


def test_a_damaged_result_does_not_keep_a_model_from_its_use(xinye, run):
    Path("run/training/result.json").write_text("{", "utf-8")
    done = xinye("classify", "run", "店好吃")
    assert done.code == 0 and "result.json" in done.err


def test_a_run_killed_while_it_wrote_its_pages_gets_them_later(trained, run):
    for name in ("report.html", "README.md"):
        Path("run", name).unlink()
        package.finetune(trained, "run", data="train.jsonl", resume=True)
        assert Path("run", name).exists()


def test_pages_of_a_shorter_run_are_written_again(trained, run):
    for name in ("report.html", "README.md"):
        os.utime(Path("run", name), (1, 1))
    package.finetune(trained, "run", data="train.jsonl", resume=True)
    for name in ("report.html", "README.md"):
        assert Path("run", name).stat().st_mtime > 1


def test_a_mix_is_not_continued_without_what_its_word_counts_need(run, trained, monkeypatch):
    monkeypatch.setattr("xinye.training.record_job.installed", lambda library: False)
    monkeypatch.setattr("xinye.libraries.installed", lambda library: False)
    with pytest.raises(XinyeError, match="mixed with word counts needs scikit-learn"):
        package.finetune(trained, "run", data="train.jsonl", resume=True, **SHORT | {"steps": 6})
    assert Path("run", COUNTS).exists()


def test_the_last_sample_is_of_the_mix(run):
    [text] = RunFolder(Path("run")).result()["texts"]
    text, _, said = text.partition(" → ")
    found = package.load("run").classify(text)["probability"]
    during = json.loads(Path("run/training/metrics.jsonl").read_text("utf-8").splitlines()[-1])
    shown = float(re.search(r"\((.+)\)", said)[1])
    assert shown == pytest.approx(found, abs=0.1) and said not in during.get("sample", "")


def test_an_unfinished_base_is_continued_by_its_own_verb(tmp_path):
    folder = RunFolder(tmp_path)
    assert not folder.unfinished()
    folder.start({"recipe": "pretrain"}, {})
    assert "xinye pretrain -o" in folder.unfinished()[0]


@pytest.mark.parametrize("change", ["missing", "of another run"])
def test_files_beside_a_network_are_those_that_were_saved(run, trained, change):
    if change == "missing":
        Path("run", CALIBRATION).unlink()
    else:
        rows = [
            row | {"label": {"好评": "差评", "差评": "好评"}[row["label"]]} for row in reviews(80)
        ]
        Path("other.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
        package.finetune(trained, "other", data="other.jsonl", **SHORT)
        Path("run", COUNTS).write_bytes(Path("other", COUNTS).read_bytes())
    with pytest.raises(XinyeError, match="as it was saved"):
        package.load("run").classify("店好吃")


def test_a_run_verifies_the_files_beside_its_network(run):
    assert not run_differences(Path("run"))
    for name in (CALIBRATION, COUNTS):
        Path("run", name).write_text("{}", "utf-8")
    assert [Path(each.split(": ")[0]).name for each in run_differences(Path("run"))] == [
        CALIBRATION, COUNTS,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (CALIBRATION, '{"weights": {"network": -1}}', "out of range"),
        (CALIBRATION, '{"weights": {"network": NaN}}', "damaged"),
        (CALIBRATION, "[]", "damaged"),
        (CALIBRATION, f'{{"weights": {{"network": 1{"0" * 400}}}}}', "damaged"),
        (COUNTS, "", "damaged"),
        (COUNTS, None, "no such file"),
    ],
)
def test_damaged_files_are_named(of_others, name, content, says):
    if content is None:
        Path("run", name).unlink()
    else:
        Path("run", name).write_text(content, "utf-8")
    with pytest.raises(XinyeError, match=rf"{name}.*{says}"):
        package.load("run").classify("店好吃")


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.nan},
        {"bias": np.inf},
        {"rarity": -1},
        {"rarity": "of two dimensions"},
        {"about": {"labels": []}},
        {"about": {"labels": ["好评", "好评"]}},
        {"about": {"blocks": []}},
        {"about": {"cost": 10**400}},
    ],
    ids=str,
)
def test_word_counts_that_were_changed_are_refused(of_others, change):
    path = Path("run", COUNTS)
    found = load_file(path)
    for name, value in change.items():
        if name == "about":
            about = json.loads(found["about"].tobytes()) | value
            found["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        elif value == "of two dimensions":
            found[name] = np.stack([found[name]] * 2, 1)
        else:
            found[name] = np.full_like(found[name], value)
    save_file(found, path)
    with pytest.raises(XinyeError, match=f"{COUNTS}: damaged"):
        package.load("run").classify("店好吃")


def test_a_calibration_that_cannot_be_read_is_not_taken_for_none(of_others):
    Path("run", CALIBRATION).unlink()
    Path("run", CALIBRATION).symlink_to("nowhere")
    with pytest.raises(XinyeError, match=CALIBRATION):
        package.load("run").classify("店好吃")


def test_a_full_disk_at_the_end_of_training(trained, place):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WordCounts, "save", full)
        with pytest.raises(XinyeError, match=r"run: cannot save .*No space left.*--resume"):
            package.finetune(trained, "run", data="train.jsonl", **SHORT)
    model = package.finetune(trained, "run", data="train.jsonl", resume=True, **SHORT)
    assert model.task.mix.counts


@pytest.mark.parametrize(("left_out", "kept"), [("word counts", NETWORK), ("GPT", WORDS)])
def test_a_part_that_makes_the_other_worse_is_left_out(trained, place, monkeypatch, left_out, kept):
    def says_the_opposite(*arguments):
        *_, texts, labels = arguments
        right = [["差评", "好评"][any(each in GOOD for each in text)] for text in texts]
        return np.array([[5.0 * (label != one) for label in labels] for one in right])

    if left_out == "GPT":
        monkeypatch.setattr(
            classify_end,
            "network_logits",
            lambda task, trained, records: says_the_opposite(
                [record.text for record in records], task.labels
            ),
        )
    else:
        monkeypatch.setattr(WordCounts, "logits", says_the_opposite)
    model = package.finetune(trained, "run", data="train.jsonl", **SHORT)
    assert [*model.task.mix.weights] == [kept]
    assert Path("run", COUNTS).exists() == (kept == WORDS)
    found = result_of("run")
    assert bool(found["mixes"]) == (kept == WORDS)  # else "this model" is the GPT
    assert f"the {left_out} w" in found["compared"][0] and "left out" in found["compared"][0]
    if kept == WORDS:
        assert model.evaluate_task("test.jsonl")["measured"]["accuracy"] == 1
        with pytest.raises(XinyeError, match="GPT was left out"):
            model.explain("店好吃")
    else:
        assert not any(case["words"] for case in found["hard_cases"]["mistakes"])


def test_a_part_may_make_the_other_worse_by_chance():
    """What says nothing has no weight at best, so that it can only add to the loss."""
    drawn = np.random.default_rng(0)
    right = np.eye(2, dtype=bool)[drawn.integers(0, 2, 200)]
    tables = {NETWORK: drawn.normal(right * 2.0, 1), WORDS: drawn.normal(0, 0.2, right.shape)}
    learned, mixed = Mix.learn(tables, right, False, None)
    _, alone = Mix.learn({NETWORK: tables[NETWORK]}, right, False, None)
    assert log_loss(mixed, right, False) > log_loss(alone, right, False)
    assert (*learned.weights,) == PARTS


def test_a_label_that_only_validation_has_does_not_spoil_the_weights():
    """The word counts call it impossible, which says nothing about all other labels."""
    drawn = np.random.default_rng(0)
    right = np.eye(3, dtype=bool)[drawn.integers(0, 2, 60)]
    tables = {NETWORK: drawn.normal(right * 2.0, 1), WORDS: drawn.normal(right * 3.0, 1)}
    tables[WORDS][:, 2] = UNLIKELY
    learned, _ = Mix.learn(tables, right, False, None)
    unseen = np.eye(3, dtype=bool)[np.full(5, 2)]
    more = {part: np.vstack([table, table[:5]]) for part, table in tables.items()}
    again, _ = Mix.learn(more, np.vstack([right, unseen]), False, None)
    assert again.weights == learned.weights


def test_a_record_does_not_decide_how_it_is_judged():
    drawn = np.random.default_rng(0)
    right = np.eye(2, dtype=bool)[drawn.integers(0, 2, 40)]
    tables = {NETWORK: drawn.normal(right * 2.0, 1)}
    _, before = Mix.learn(tables, right, False, None)
    right[0] = ~right[0]
    _, after = Mix.learn(tables, right, False, None)
    same = (before == after).all(1)
    assert same[0] and 0 < same.sum() < 20  # those judged by the same weights as the first


def told(texts: str, *labels: tuple[str, ...]) -> list[LabelledText]:
    pairs = zip(texts.split(), labels, strict=True)
    return [LabelledText(text, "", found, f"line {at}") for at, (text, found) in enumerate(pairs)]


def test_word_counts_judge_only_records_from_which_they_have_not_learned():
    """A wrong label is not remembered, even if its record is there several times."""
    texts = [f"店好吃{number}" for number in range(20)] + [
        f"店冷苦{number}" for number in range(20)
    ]
    wrong = ["店好吃香暖"] * 4
    labels = [("a",)] * 20 + [("b",)] * 20 + [("b",)] * 4
    records = told(" ".join(texts + wrong), *labels)
    task = classify.Classify.of(records)
    found = classify_end.counted_by_others(task, records, USUAL)
    assert [task.labels[at] for at in found.argmax(1)] == ["a"] * 20 + ["b"] * 20 + ["a"] * 4


def test_of_a_label_that_no_other_record_has_word_counts_say_nothing():
    records = told("好 坏 好好 坏坏 好香 坏苦 冷", *[("a",), ("b",)] * 3, ("c",))
    found = classify_end.counted_by_others(classify.Classify.of(records), records, USUAL)
    assert not found[-1].any() and found[:-1].any(1).all()
    labels = [("a",), (), ("a",), (), ("a",), ("b",), ("a", "c")]
    records = told("好 坏 好好 坏坏 好香 坏苦 好冷", *labels)
    task = classify.Classify.of(records)
    found = classify_end.counted_by_others(task, records, USUAL)
    assert task.several and found[-1, 2] == 0 and found[-1, 0] > 0


def test_records_from_which_nothing_can_be_learned_do_not_end_the_training():
    records = told("!! ?? ,, word ;; ::", *[("a",), ("b",)] * 3)
    found = classify_end.counted_by_others(classify.Classify.of(records), records, USUAL)
    assert found.shape == (6, 2)


def test_mistakes_and_training_records_that_look_mislabelled(trained, place, monkeypatch):
    rows = reviews(120, wrong=2)
    Path("train.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    rows = reviews(40, wrong=1)
    Path("others.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    package.finetune(
        trained, "run", data="train.jsonl", validation="others.jsonl", epochs=6, evaluations=1,
        dtype="float32", learning_rate=0.01,
    )  # fmt: skip
    found = result_of("run")
    cases = found["hard_cases"]
    assert {case["place"] for case in cases["mislabelled"]} == {
        "train.jsonl, line 1", "train.jsonl, line 2",
    }  # fmt: skip
    [case] = cases["mistakes"]
    assert (case["place"], case["right"], case["said"]) == ("others.jsonl, line 1", "差评", "好评")
    assert case["words"] and {*"".join(case["words"])} & {*GOOD}
    assert found["compared"][-1].startswith("2 of 120 training records look mislabelled")
    assert found["compared"][-1].endswith("the report lists the first 2")
    monkeypatch.setattr(classify_end, "LOOKED_AT", 100)
    package.finetune(
        trained, "run", data="train.jsonl", validation="others.jsonl", epochs=6, evaluations=1,
        dtype="float32", learning_rate=0.01, overwrite=True,
    )  # fmt: skip
    *_, some, few = result_of("run")["compared"]
    assert "of 100 training records look mislabelled" in some
    assert few == "only 100 of 120 training records, drawn at random, were looked at"
    assert "Hard cases" in Path("run/report.html").read_text("utf-8")


def test_of_several_labels_the_surest_contradiction_counts():
    hard = HardCases(["a", "b", "c"], lambda row: ("a",), None)
    [case] = hard.contradicted(
        [LabelledText("text", "", ("b",), "here")], np.array([[0.5, 0.1, 0.4]])
    )
    assert (case.said, case.probability) == ("a", 0.5)  # and not the 0.9 against b
    hard = HardCases(["a", "b", "c"], lambda row: ("a", "c"), None)
    record = LabelledText("text", "", ("a", "b"), "here")
    [case] = hard.contradicted([record], np.array([[0.9, 0.3, 0.6]]))
    assert (case.right, case.said, case.probability) == ("a, b", "a, c", pytest.approx(0.7))
    assert (case.wanted, case.unwanted) == ("", "b")  # it is surest that b is wrong
    [case] = hard.contradicted([record], np.array([[0.9, 0.4, 0.8]]))
    assert (case.wanted, case.unwanted) == ("c", "")


def test_the_gain_by_hand():
    one, other = np.array([True, True, True, False]), np.array([True, False, True, False])
    gain = Gain.of(one, other)
    # One record more of one kind: of 4 + 2 records 1.5 for one and 0.5 for the other.
    error = ((1.5 + 0.5) - (1.5 - 0.5) ** 2 / 6) ** 0.5 / 6
    assert gain.mean == 0.25 and gain.interval == pytest.approx(1.96 * error)
    assert Gain.of(one, one).interval > 0.3
    right, few = np.ones(10, bool), np.arange(10) >= 5
    assert Gain.of(right, few).interval >= Gain.of(right, few).mean  # 2 / 2⁵ > 5 %
    many = np.arange(10) >= 6
    assert Gain.of(right, many).interval < Gain.of(right, many).mean
