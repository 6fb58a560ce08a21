"""How right labels of texts are, and the classical baseline that learns them from the same records."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xinye.errors import XinyeError
from xinye.evaluation.tokenizers import language

Labels = Sequence[tuple[str, ...]]  # of each text; one each, or any number


def scikit_learn() -> None:
    """Raises `XinyeError` where the library is missing."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise XinyeError('fine-tuning needs scikit-learn to measure and compare: pip install "xinye[tasks]"') from None


def measure(right: Labels, predicted: Labels, labels: Sequence[str], several: bool) -> dict[str, Any]:
    """`accuracy` (with several labels: of whole sets), `macro_f1`, the `table` by class and its averages, and the
    `confusion` of single labels (rows are what is right)."""
    scikit_learn()
    from sklearn.metrics import accuracy_score, classification_report, confusion_matrix

    number = {label: index for index, label in enumerate(labels)}
    if several:
        y, z = (np.array([[label in found for label in labels] for found in side], int) for side in (right, predicted))
        numbers = list(range(len(labels)))
    else:
        y, z = (np.array([number[found[0]] for found in side]) for side in (right, predicted))
        numbers = sorted({*y.tolist(), *z.tolist()})
    names = [labels[index] for index in numbers]
    report = classification_report(y, z, labels=numbers, target_names=names, output_dict=True, zero_division=0)
    accuracy = float(accuracy_score(y, z))
    if not several:  # every text has one: micro precision, recall and F1 are the accuracy
        micro = dict.fromkeys(("precision", "recall", "f1-score"), accuracy) | {"support": float(len(right))}
        report["micro avg"] = micro
        report.pop("accuracy", None)
    averages = ("micro avg", "macro avg", "weighted avg")
    result: dict[str, Any] = {
        "accuracy": accuracy,
        "macro_f1": float(report["macro avg"]["f1-score"]),
        "table": {name: _plain(report[name]) for name in (*names, *averages)},
    }
    if not several:
        result["confusion"] = {"labels": names, "counts": confusion_matrix(y, z, labels=numbers).tolist()}
    return result


def _plain(row: dict[str, Any]) -> dict[str, float]:
    return {name: round(float(value), 5) if name != "support" else int(value) for name, value in row.items()}


def tfidf_baseline(
    texts: Sequence[str], right: Labels, questions: Sequence[str], labels: Sequence[str], several: bool
) -> list[tuple[str, ...]]:
    """The labels that TF-IDF and logistic regression, learned from texts, give to the questions.

    Pieces of one to three characters for Chinese, words and pairs of them otherwise.
    """
    scikit_learn()
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    chinese = language("".join(texts[:1000])) == "chinese"
    pieces = {"analyzer": "char", "ngram_range": (1, 3)} if chinese else {"ngram_range": (1, 2)}
    features = TfidfVectorizer(sublinear_tf=True, **pieces)
    regression = LogisticRegression(C=10, max_iter=1000)
    try:
        if several:
            model = make_pipeline(features, OneVsRestClassifier(regression))
            model.fit(texts, np.array([[label in found for label in labels] for found in right], int))
            guessed = model.predict(questions)
            return [tuple(label for label, yes in zip(labels, row, strict=True) if yes) for row in guessed]
        model = make_pipeline(features, regression)
        model.fit(texts, [found[0] for found in right])
        return [(str(label),) for label in model.predict(questions)]
    except ValueError as error:  # no words at all, or one class
        raise XinyeError(f"TF-IDF: {error}") from None
