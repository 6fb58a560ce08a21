"""The kinds of texts that a model writes, with the other names by which people call them."""

from collections.abc import Mapping

from xinye.errors import XinyeError, did_you_mean

KINDS: Mapping[str, tuple[str, ...]] = {
    "news": ("report", "article", "新闻", "快讯", "通讯", "消息"),
    "mail": ("email", "e-mail", "letter", "邮件", "电子邮件", "信", "信件", "回信"),
    "advert": ("ad", "advertisement", "slogan", "广告", "广告词", "广告语", "文案"),
    "story": ("tale", "故事", "小说", "童话"),
}
_BY_NAME = {name: kind for kind, names in KINDS.items() for name in (kind, *names)}


def find_kind(name: str) -> str:
    """The kind that a name stands for. Raises `XinyeError` for an unknown one.

    >>> find_kind(" 邮件 "), find_kind("E-Mail")
    ('mail', 'mail')
    """
    found = _BY_NAME.get(name.strip().casefold())
    if found is None:
        *first, last = KINDS
        near = did_you_mean(name, _BY_NAME)
        raise XinyeError(f"no kind {name!r}; choose {', '.join(first)} or {last}{near}")
    return found
