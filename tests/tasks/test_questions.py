"""The questions about documents: each answer is in its article, and none is asked twice."""

import re
from itertools import product

import pytest

from xinye.retrieval.passages import LONGEST
from xinye.tasks.questions import articles, documents, is_for_test, questions


@pytest.fixture(scope="module", params=["zh", "en"])
def rows(request):
    return request.param, questions(10_000, request.param)


def test_each_answer_is_in_its_article(rows):
    language, records = rows
    texts = {article.text for article in articles(language)}
    assert all(row["context"] in texts and row["answer"] in row["context"] for row in records)
    assert all(len(text) <= LONGEST for text in texts)


def test_enough_is_asked_for_training_and_test(rows):
    _, records = rows
    asked = [row for row in records if row["answer"]]
    training = [row["question"] for row in asked if not is_for_test(row)]
    test = [row["question"] for row in asked if is_for_test(row)]
    assert len(training) >= 150 and len(test) >= 40 and len({*training, *test}) == len(asked)
    unanswerable = {row["question"] for row in records} - {row["question"] for row in asked}
    assert len(unanswerable) == 40


def test_no_test_question_is_worded_like_one_for_training(rows):
    language, records = rows
    width = 2 if language == "zh" else 1

    def parts(question):
        units = re.findall(r"\w", question) if language == "zh" else question.lower().split()
        return {tuple(units[at : at + width]) for at in range(len(units))}

    asked = [row for row in records if row["answer"]]
    training = [row for row in asked if not is_for_test(row)]
    for row, other in product([row for row in asked if is_for_test(row)], training):
        if row["context"] == other["context"]:
            mine, theirs = parts(row["question"]), parts(other["question"])
            assert len(mine & theirs) < 0.5 * len(mine | theirs), (row["question"], other)


@pytest.mark.parametrize(
    "language, name, said, before",
    [
        ("zh", "全国年节及纪念日放假办法", "春节，放假4天", "春节，放假3天"),
        ("en", "Handbook of the New Leaf tea shop", "lasts three months", "lasts six months"),
    ],
)
def test_an_older_version_says_something_else(language, name, said, before):
    versions = [text for title, text in documents(language).items() if title.startswith(name)]
    assert [before in text for text in versions] == [True, False]
    in_force = " ".join(article.text for article in articles(language))
    assert said in in_force and before not in in_force
