"""The terms of a text, by which passages are found."""

import re
import unicodedata

from xinye.data.scripts import HAN, has_han, is_han

# A run of Han characters, or a word of another script.
_RUN = re.compile(rf"[{HAN}]+|[^\W_{HAN}]+")
_MIXED = re.compile(r"[^\W_]+")
# Words that ask. They seldom stand in a passage, whether it answers or not.
_ASKING = re.compile(
    r"请问|为什么|为何|什么|怎么样?|怎样|如何|多[少久长大高远]|何[时地处人]|能不能|可不可以|能否|哪一?[个些里年位种家国天月]?|谁|几|是否|"
    r"吗|呢|(?i:\b(?:what|which|who|whom|whose|when|where|why|how|do|does|did|is|are|was|were|"
    r"can|may|i|the|an?|of|in|on|to|for)\b)"
)
_EDGES = re.compile(r"^[\W_]+|(?<![\W_])[\W_]+$")


def terms(text: str) -> list[str]:
    """The terms of a text in their order: of Han text each character and each pair of neighbours,
    of other scripts the words, folded: small letters without accents, without a plural s.

    Characters and pairs find more Chinese passages than words of a segmenter do, since question and
    passage are always cut alike.

    >>> terms("试用期 Cafés")
    ['试', '用', '期', '试用', '用期', 'cafe']
    """
    found: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text)):
        if is_han(run):
            found += run
            found += [run[at : at + 2] for at in range(len(run) - 1)]
        else:
            found.append(_folded(run))
    return found


def index_terms(text: str) -> list[str]:
    """The terms of a text by which an index finds it: those of `terms`, and where letters or digits
    stand beside Han characters, as in "3岁" or "B超", they are cut like these, too.

    >>> index_terms("满3岁")
    ['满', '3', '岁', '满3', '3岁', '3']
    """
    found: list[str] = []
    for run in _MIXED.findall(unicodedata.normalize("NFKC", text).casefold()):
        words = [word for word in _RUN.findall(run) if not is_han(word)]
        if has_han(run):
            found += run
            found += [run[at : at + 2] for at in range(len(run) - 1)]
        found += map(_folded, words)
    return found


def trimmed(text: str) -> str:
    """A text without punctuation and spaces at its ends.

    >>> trimmed("（谢谢！）"), trimmed("……")
    ('谢谢', '')
    """
    return _EDGES.sub("", text)


def content(question: str) -> str:
    """A question without the words that ask, unless there are no others."""
    told = _ASKING.sub(" ", question)
    return told if terms(told) else question


def _folded(word: str) -> str:
    letters = unicodedata.normalize("NFD", word.casefold())
    word = "".join(letter for letter in letters if not unicodedata.combining(letter))
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word
