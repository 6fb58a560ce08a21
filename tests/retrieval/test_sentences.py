"""Sentences of Chinese and English, and the one that answers best."""

import pytest

from xinye.data.sentences import sentences
from xinye.retrieval.sentences import best_sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("他说：“走吧。”她笑了！", ["他说：“走吧。”", "她笑了！"]),
        ("It costs 3.5 dollars. (Really.) Yes", ["It costs 3.5 dollars.", "(Really.)", "Yes"]),
        ("Dr. J. Li of the U.S. came. He left.", ["Dr. J. Li of the U.S. came.", "He left."]),
        ("  \n第一行\n\n第二行  ", ["第一行", "第二行"]),
        (" \n", []),
    ],
)
def test_sentences(text, expected):
    assert [text[begin:end] for begin, end in sentences(text)] == expected


def test_the_rarest_terms_of_the_question_choose_the_sentence():
    law = "劳动合同应当写明试用期。试用期最长不得超过六个月。劳动合同应当写明报酬。"
    tea = "Tea is old. Green tea brews at 80 degrees. Tea is drunk hot."
    found = best_sentence("试用期最长多久？", [tea, law])
    assert (found.text, found.passage) == ("试用期最长不得超过六个月。", 1)
    assert law[found.start :].startswith(found.text)
    assert best_sentence("At how many degrees does tea brew?", [tea]).text.startswith("Green")


def test_without_a_term_in_common_the_first_sentence_is_the_extract():
    assert best_sentence("天气？", ["One. Two."]).text == "One."
    assert best_sentence("天气？", ["", " \n"]) is None
    assert best_sentence("天气？", []) is None
