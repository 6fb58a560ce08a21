"""Says in English or Chinese why an item is suggested."""

from xinye.ranking.suggestions import Reason

_WORDS = {
    "en": {
        "similar": "Often chosen with “{title}”",
        "text": "Its description resembles “{title}”",
        "popular": "Popular",
        "history": "Fits what was chosen before",
    },
    "zh": {
        "similar": "选过“{title}”的人也常选",
        "text": "内容与“{title}”相近",
        "popular": "热门",
        "history": "符合之前的选择",
    },
}


def sentence(reason: Reason, title: str, chinese: bool) -> str:
    """Why an item is suggested, in one sentence. `title` is that of the item of the history that
    the reason names.

    >>> sentence(Reason("similar", "7"), "活着", chinese=True)
    '选过“活着”的人也常选'
    >>> sentence(Reason("popular"), "", chinese=False)
    'Popular'
    """
    return _WORDS["zh" if chinese else "en"][reason.kind].replace("{title}", title)
