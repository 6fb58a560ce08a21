"""Names the subjects of questions that have no intent: clusters of TF-IDF vectors, each named by
its most typical words."""

import re
from collections import Counter
from collections.abc import Sequence
from math import sqrt

import numpy as np

from xinye.data.scripts import HAN, has_han
from xinye.libraries import need
from xinye.retrieval.terms import content, terms

FEWEST = 20  # questions to find clusters in
MOST = 40  # clusters
DIMENSIONS = 50
NAMES = 2  # words in a name
COMMON = 0.15  # of the questions of a cluster have a word of its name, at least
_WORD = re.compile(rf"[{HAN}]+|[^\W\d_{HAN}]{{3,}}")
_PARTICLES = set(
    "的了吗呢吧啊着是我你您他她它们这那在有和与把被给就也都还要会能可不想请问怎么样什为何如哪几多少个一下"
)
_COMMON_ENGLISH = re.compile(
    "the|and|for|you|your|have|has|had|not|are|was|were|with|that|this|from|can|how|what|when|where"
    "|why|does|did|been|will|would|could|should|but|there|they|them|get|got"
)


def name_clusters(questions: Sequence[str]) -> list[str]:
    """The name of the cluster of each question; "" for one without typical
    words, and for all of them if they are too few."""
    if len(questions) < FEWEST:
        return [""] * len(questions)
    need("clusters of questions", "sklearn")
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    features = TfidfVectorizer(
        analyzer=lambda text: [term for term in terms(content(text)) if len(term) > 1],
        sublinear_tf=True,
        min_df=2,
    )
    try:
        table = features.fit_transform(questions)
    except ValueError:  # no word occurs twice
        return [""] * len(questions)
    dimensions = min(DIMENSIONS, *(size - 1 for size in table.shape))
    if dimensions < 2:
        return [""] * len(questions)
    vectors = normalize(TruncatedSVD(dimensions, random_state=0).fit_transform(table))
    count = min(MOST, max(2, round(sqrt(len(questions) / 2))))
    found = KMeans(count, n_init=1, random_state=0).fit_predict(vectors)
    clusters = [
        [questions[number] for number in np.flatnonzero(found == cluster).tolist()]
        for cluster in range(count)
    ]
    names = _names(clusters)
    return [names[cluster] for cluster in found]


def _names(clusters: Sequence[Sequence[str]]) -> list[str]:
    """The name of each cluster: its words that are more frequent there than elsewhere. Two clusters
    may have the same name, and so become one; "" if no word is typical."""
    counts = [Counter(word for text in some for word in _words(text)) for some in clusters]
    total = Counter[str]()
    for each in counts:
        total.update(each)
    questions = sum(map(len, clusters))
    names: list[str] = []
    for some, inside in zip(clusters, counts, strict=True):
        rank = {
            word: (count / len(some) - total[word] / questions) * sqrt(len(word))
            for word, count in inside.items()
            if count >= COMMON * len(some)
        }
        chosen: list[str] = []
        for word in sorted(rank, key=lambda word: (-rank[word], word)):
            if not any(
                set(word) & set(other) if has_han(word) else word == other for other in chosen
            ):
                chosen.append(word)
            if len(chosen) == NAMES:
                break
        names.append(" ".join(chosen))
    return names


def _words(text: str) -> set[str]:
    """Possible words of a name: English words, and two to four neighbouring Han characters."""
    found = set[str]()
    for run in _WORD.findall(content(text).casefold()):
        if not has_han(run):
            found |= set() if _COMMON_ENGLISH.fullmatch(run) else {run}
            continue
        for size in (2, 3, 4):
            pieces = (run[at : at + size] for at in range(len(run) - size + 1))
            found.update(piece for piece in pieces if not _PARTICLES & set(piece))
    return found
