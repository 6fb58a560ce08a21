"""How right labels of texts are, the table by class (of spans, too), and the classical baseline
that learns labels from the same records."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from xinye.errors import XinyeError
from xinye.evaluation.tokenizers import language
from xinye.libraries import need

Labels = Sequence[tuple[str, ...]]  # of each text; one each, or any number
FIGURES = ("precision", "recall", "f1-score")
Table = dict[str, dict[str, float]]
Figures = dict[str, Any]  # by name, as they go into result.json; a `table` by class


def measure(right: Labels, predicted: Labels, labels: Sequence[str], several: bool) -> Figures:
    """`accuracy` (with several labels: of whole sets), `macro_f1`, the `table` by class and its
    averages, and the `confusion` of single labels (rows are what is right).
    """
    pairs = [(set(truth), set(guess)) for truth, guess in zip(right, predicted, strict=True)]
    seen: set[str] = set().union(*right, *predicted)
    names = [label for label in labels if several or label in seen]
    table = class_table(pairs, str, names)
    result: Figures = {
        "accuracy": sum(truth == guess for truth, guess in pairs) / len(right),
        "macro_f1": table["macro avg"]["f1-score"],
        "table": rounded(table),
    }
    if not several:
        both = Counter((truth[0], guess[0]) for truth, guess in zip(right, predicted, strict=True))
        counts = [[both[row, column] for column in names] for row in names]
        result["confusion"] = {"labels": names, "counts": counts}
    return result


def class_table(
    pairs: Sequence[tuple[set[Any], set[Any]]],
    class_of: Callable[[Any], str],
    names: Sequence[str] | None = None,
) -> Table:
    """A row of each class and of the averages (micro, macro, weighted by support), from what is
    right and what was found in each text. The classes are those that occur, or these `names`.
    """
    correct = Counter(class_of(each) for right, found in pairs for each in right & found)
    guessed = Counter(class_of(each) for _, found in pairs for each in found)
    support = Counter(class_of(each) for right, _ in pairs for each in right)
    names = sorted(support | guessed) if names is None else names
    table = {name: _row(correct[name], guessed[name], support[name]) for name in names}
    rows = list(table.values())
    table["micro avg"] = _row(correct.total(), guessed.total(), support.total())
    for name, weights in ("macro", [1] * len(rows)), ("weighted", [row["support"] for row in rows]):
        means = {figure: _mean([row[figure] for row in rows], weights) for figure in FIGURES}
        table[f"{name} avg"] = means | {"support": support.total()}
    return table


def rounded(table: Table) -> Table:
    return {
        name: {key: round(value, 5) for key, value in row.items()} for name, row in table.items()
    }


def _row(correct: int, guessed: int, support: int) -> dict[str, float]:
    precision = correct / guessed if guessed else 0.0
    recall = correct / support if support else 0.0
    f1 = 2 * correct / (guessed + support) if guessed + support else 0.0
    return {"precision": precision, "recall": recall, "f1-score": f1, "support": support}


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    weighted = (value * weight for value, weight in zip(values, weights, strict=True))
    return sum(weighted) / (sum(weights) or 1)


def tfidf_baseline(
    texts: Sequence[str],
    right: Labels,
    questions: Sequence[str],
    labels: Sequence[str],
    several: bool,
) -> list[tuple[str, ...]]:
    """The labels that TF-IDF and logistic regression, learned from texts, give to the questions.

    Pieces of one to three characters for Chinese, words and pairs of them otherwise. Raises
    `XinyeError` where there is no such baseline: without scikit-learn, and where the texts have no
    words or one label.
    """
    need("the TF-IDF baseline", "sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MultiLabelBinarizer

    chinese = language("".join(texts[:1000])) == "chinese"
    pieces = {"analyzer": "char", "ngram_range": (1, 3)} if chinese else {"ngram_range": (1, 2)}
    features = TfidfVectorizer(sublinear_tf=True, **pieces)
    regression = LogisticRegression(C=10, max_iter=1000)
    try:
        if several:
            each = MultiLabelBinarizer(classes=labels)
            model = make_pipeline(features, OneVsRestClassifier(regression))
            model.fit(texts, each.fit_transform(right))
            return each.inverse_transform(model.predict(questions))
        model = make_pipeline(features, regression)
        model.fit(texts, [found[0] for found in right])
        return [(str(label),) for label in model.predict(questions)]
    except ValueError as error:  # no words at all, or one class
        raise XinyeError(f"TF-IDF: {error}") from None
