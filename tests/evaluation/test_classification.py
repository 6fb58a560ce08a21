"""Figures of labels by hand, and the classical baseline."""

from random import Random

import pytest
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix

from xinye.evaluation.classification import measure

RIGHT = [("正",), ("正",), ("正",), ("负",)]


def test_by_hand():
    figures = measure(RIGHT, [("正",), ("正",), ("负",), ("负",)], ["正", "负"], several=False)
    assert figures["accuracy"] == 0.75 and figures["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert figures["table"]["负"] == {
        "precision": 0.5,
        "recall": 1.0,
        "f1-score": 0.66667,
        "support": 1,
    }
    assert figures["table"]["micro avg"]["f1-score"] == 0.75
    assert figures["confusion"] == {"labels": ["正", "负"], "counts": [[2, 1], [0, 1]]}


def test_several_labels():
    figures = measure([("快", "好"), ()], [("快",), ()], ["快", "好"], several=True)
    assert (
        figures["accuracy"] == 0.5
        and figures["table"]["micro avg"]["recall"] == 0.5
        and "confusion" not in figures
    )


@pytest.mark.parametrize("several", [False, True])
def test_the_figures_are_those_of_scikit_learn(several):
    # nobody says d; with several labels it counts all the same
    random, labels = (
        Random(7),
        ["a", "b", "c", "d"],
    )

    def some() -> list[tuple[str, ...]]:
        return [
            tuple(random.sample("abc", random.randint(0, 3) if several else 1)) for _ in range(50)
        ]

    right, said = some(), some()
    names = labels if several else ["a", "b", "c"]
    y, z = (
        [[label in found for label in names] if several else found[0] for found in side]
        for side in (right, said)
    )
    options = {"target_names": names} if several else {"labels": names}
    theirs = classification_report(y, z, output_dict=True, zero_division=0, **options)
    ours = measure(right, said, labels, several)
    for row in (*names, "macro avg", "weighted avg"):
        assert ours["table"][row] == pytest.approx(theirs[row], abs=1e-5)
    assert ours["accuracy"] == pytest.approx(accuracy_score(y, z))
    if not several:
        assert ours["confusion"]["counts"] == confusion_matrix(y, z, labels=names).tolist()
