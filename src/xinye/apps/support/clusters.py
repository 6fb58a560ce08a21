"""Names the subjects of questions that have no intent: clusters of TF-IDF vectors, each named by
its most typical question."""

from collections.abc import Sequence
from math import sqrt

from xinye.apps.support.groups import typical
from xinye.apps.support.offers import shown
from xinye.data.duplicates import members
from xinye.errors import one_line
from xinye.libraries import need
from xinye.retrieval.terms import content, terms

FEWEST = 20  # questions to find clusters in
MOST = 40  # clusters
DIMENSIONS = 50
SHORT, LONGEST = 24, 60  # characters of a name if possible, and at most


def name_clusters(questions: Sequence[str]) -> list[str]:
    """The name of the cluster of each question; "" for all of them if they are too few, or have no
    word in common. Clusters of the same name become one."""
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
    names = [_name([questions[at] for at in numbers]) for numbers in members(found.tolist())]
    return [names[cluster] for cluster in found]


def _name(questions: Sequence[str]) -> str:
    """The typical question of a cluster: of the short ones, if there are any."""
    short = [text for text in questions if len(text) <= SHORT]
    return one_line(shown(typical(short or questions)))[:LONGEST]
