"""How right labels of texts are, and the classical baseline that learns them from the same records."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from xinye.errors import XinyeError
from xinye.evaluation.scores import class_table, rounded
from xinye.evaluation.tokenizers import language
from xinye.libraries import need

Labels = Sequence[tuple[str, ...]]  # of each text; one each, or any number


def measure(
    right: Labels, predicted: Labels, labels: Sequence[str], several: bool
) -> dict[str, Any]:
    """`accuracy` (with several labels: of whole sets), `macro_f1`, the `table` by class and its averages, and the
    `confusion` of single labels (rows are what is right)."""
    correct: Counter[str] = Counter()
    guessed: Counter[str] = Counter()
    support: Counter[str] = Counter()
    for truth, guess in zip(right, predicted, strict=True):
        correct.update(set(truth) & set(guess))
        guessed.update(guess)
        support.update(truth)
    names = [label for label in labels if several or label in support or label in guessed]
    table = class_table(names, correct, guessed, support)
    same = sum(set(truth) == set(guess) for truth, guess in zip(right, predicted, strict=True))
    result: dict[str, Any] = {
        "accuracy": same / len(right),
        "macro_f1": table["macro avg"]["f1-score"],
        "table": rounded(table),
    }
    if not several:
        pairs = Counter((truth[0], guess[0]) for truth, guess in zip(right, predicted, strict=True))
        counts = [[pairs[row, column] for column in names] for row in names]
        result["confusion"] = {"labels": names, "counts": counts}
    return result


def tfidf_baseline(
    texts: Sequence[str],
    right: Labels,
    questions: Sequence[str],
    labels: Sequence[str],
    several: bool,
) -> list[tuple[str, ...]]:
    """The labels that TF-IDF and logistic regression, learned from texts, give to the questions.

    Pieces of one to three characters for Chinese, words and pairs of them otherwise. Raises `XinyeError` where there
    is no such baseline: without scikit-learn, and where the texts have no words or one label.
    """
    need("the baseline, TF-IDF with logistic regression,", "sklearn")
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
            model.fit(
                texts, np.array([[label in found for label in labels] for found in right], int)
            )
            guessed = model.predict(questions)
            return [
                tuple(label for label, yes in zip(labels, row, strict=True) if yes)
                for row in guessed
            ]
        model = make_pipeline(features, regression)
        model.fit(texts, [found[0] for found in right])
        return [(str(label),) for label in model.predict(questions)]
    except ValueError as error:  # no words at all, or one class
        raise XinyeError(f"TF-IDF: {error}") from None
