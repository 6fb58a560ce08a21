"""Records of the task `translate`: pairs of sentences."""

from collections.abc import Sequence


def components(pairs: Sequence[tuple[str, str]]) -> list[int]:
    """For each pair of texts, the number of its group. Pairs that share a text are in one group, so
    a split by groups leaves no text on both sides.

    >>> components([("Hi.", "嗨。"), ("Run!", "跑！"), ("Hi.", "你好。"), ("Hello!", "你好。")])
    [0, 1, 0, 0]
    """
    parents: dict[str, str] = {}

    def root(text: str) -> str:
        parents.setdefault(text, text)
        while parents[text] != text:
            parents[text] = parents[parents[text]]
            text = parents[text]
        return text

    for one, other in pairs:
        parents[root(other)] = root(one)
    numbers: dict[str, int] = {}
    return [numbers.setdefault(root(one), len(numbers)) for one, _ in pairs]
