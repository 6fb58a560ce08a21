"""`finetune --folds`: every record is judged once, equal texts together; mean and interval are
those of the folds."""

import json
import statistics
from collections import Counter
from pathlib import Path

import pytest
from scipy.stats import t

from xinye.evaluation.spans import Span
from xinye.studies.folds import spread
from xinye.tasks.classify import Classify
from xinye.tasks.classify_records import LabelledText
from xinye.tasks.tag import Tag
from xinye.tasks.tag_spans import TaggedText

WORDS = {"正面": ["很好吃", "不错", "味道好"], "负面": ["太慢", "难吃", "太差了"]}
FAST = ("--method", "head", "--epochs", "1", "--dtype", "float32", "--evaluations", "1")


pytestmark = pytest.mark.usefixtures("no_measuring")


@pytest.mark.parametrize("folds", [2, 5])
def test_every_record_is_judged_once_each_label_in_every_fold_and_equal_texts_together(folds):
    records = [
        LabelledText(f"文{i % 60}", "", ("正" if i % 60 < 40 else "负",), str(i))
        for i in range(120)
    ]
    judged = []
    for part in range(1, folds + 1):
        training, kept = Classify.split(records, 0.1, 0, (part, folds))
        assert len(training) + len(kept) == 120 and not {r.text for r in training} & {
            r.text for r in kept
        }
        counts = Counter(record.labels[0] for record in kept)
        assert abs(counts["正"] - 80 / folds) <= 2 and abs(counts["负"] - 40 / folds) <= 2
        judged += kept
    assert sorted(record.place for record in judged) == sorted(record.place for record in records)


def test_folds_of_spans_have_as_many_of_each_type():
    records = [
        TaggedText(f"文{i}字", (Span(0, 1, "甲" if i % 4 else "乙"),), str(i)) for i in range(40)
    ]
    kept = [Tag.split(records, 0.1, 0, (part, 5))[1] for part in range(1, 6)]
    assert [Counter(record.spans[0].type for record in part) for part in kept] == [
        {"甲": 6, "乙": 2}
    ] * 5


def test_the_interval_is_students():
    values = [0.9, 0.92, 0.88]
    low, high = t.interval(0.95, 2, statistics.mean(values), statistics.stdev(values) / 3**0.5)
    assert spread(values)["interval"] == pytest.approx((high - low) / 2, abs=1e-4)


@pytest.fixture
def reviews(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [f"{words[i % 3]}{i},{label}" for i in range(12) for label, words in WORDS.items()]
    Path("reviews.csv").write_text("review,label\n" + "\n".join(rows) + "\n", "utf-8")
    return tmp_path


def test_cross_validation_of_a_task(xinye, trained, reviews):
    command = (
        "finetune",
        trained,
        "--task",
        "classify",
        "--data",
        "reviews.csv",
        "-o",
        "run",
        *FAST,
        "--folds",
        "3",
    )
    outcome = xinye(*command, "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    for key in ("validation", "baseline"):
        values = [fold[key]["accuracy"] for fold in told["folds"]]
        assert told[key]["accuracy"]["mean"] == pytest.approx(statistics.mean(values), abs=1e-5)
    gains = [
        fold["validation"]["accuracy"] - fold["baseline"]["accuracy"] for fold in told["folds"]
    ]
    assert told["more_than_baseline"]["accuracy"]["mean"] == pytest.approx(
        statistics.mean(gains), abs=1e-5
    )
    assert json.loads(Path("run/folds.json").read_text("utf-8"))["validation"] == told["validation"]
    plan = json.loads(Path("run/fold-2/training/plan.json").read_text("utf-8"))
    assert (
        plan["values"]["validation_records"] == 8
        and "fold 2/3 of the records of each label" in plan["reasons"]["validation_records"]
    )
    assert (
        "is there" in xinye(*command).complaint
        or "cross-validation already" in xinye(*command).complaint
    )
    Path("run/fold-3/training/result.json").unlink()  # as if it had been stopped
    again = xinye("finetune", "-o", "run", "--folds", "3", "--resume")
    assert again.code == 0 and "fold 3 of 3: accuracy" in again.err
    assert "TF-IDF + linear SVM + naive Bayes" in again.out and " ± " in again.out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--folds", "1"], "--folds 1: give 2 to 20"),
        (["--folds", "3", "--fold", "1/3"], "give one of the two"),
        (["--folds", "3", "--validation", "reviews.csv"], "leave --validation out"),
        (["--folds", "3", "--processes", "2"], "leave --processes out"),
        (["--folds", "3", "--task", "text"], "xinye pretrain FILES --from MODEL --folds K"),
        (["--folds", "3", "--data", "none.csv"], "none.csv: no such file"),
        (["--fold", "4/3"], "'4/3' is not one part of 2 to 20"),
    ],
)
def test_wrong_use_is_one_line(xinye, trained, reviews, more, says):
    task = [] if "--task" in more else ["--task", "classify"]
    outcome = xinye(
        "finetune", trained, *task, "--data", "reviews.csv", "-o", "run", *FAST[2:], *more
    )
    assert outcome.code == 2 and says in outcome.complaint and not Path("run").exists()
