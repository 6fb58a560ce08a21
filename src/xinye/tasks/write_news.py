"""Facts from news that has none beside it: its title, and the dates, amounts, shares, numbers and
names in its text. So news with titles teaches to write news from facts."""

import re

from xinye.evaluation.tokenizers import language
from xinye.retrieval.numbers import MONTHS
from xinye.tasks.write_facts import Fact, invented, lines_of

MOST = 8  # values of one key
_NUMBER = r"(?<![\d.,])\d{1,15}(?:[.,]\d{1,9}){0,4}"
_CHINESE = {
    "时间": r"(?:\d{2,4}年)?(?:\d{1,2}月)?\d{1,2}日(?:[上下]午|晚间?)?|\d{4}年(?:\d{1,2}月(?!\d))?"
    r"|(?<!\d)\d{1,2}月份?(?!\d)|[今昨明]日|[一二三四]季度|[上下]半年",
    "金额": rf"{_NUMBER}[十百千万亿]{{0,2}}(?:[美欧港日韩]元|人民币|元|卢布|英镑)",
    "比例": rf"{_NUMBER}(?:%|个百分点)",
    "数量": rf"{_NUMBER}[十百千万亿]{{0,2}}"
    "(?:公里|平方米|小时|分钟|[家名人股吨辆台架艘个只件例套座条项次户处天岁倍米桶枚部艇])",
    "名称": "《[^《》]{2,30}》|“[^“”]{2,12}”|(?<![A-Za-z])[A-Z][A-Za-z&]+(?: [A-Z][A-Za-z&]+){0,3}",
}
_MONTH = f"(?:{'|'.join(MONTHS)})"
_ENGLISH = {
    "time": rf"{_MONTH} \d{{1,2}}(?:, \d{{4}})?|{_MONTH} \d{{4}}|(?:in|since) \d{{4}}\b"
    "|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day",
    "amount": rf"(?:US)?[$€£]{_NUMBER}(?: (?:million|billion|trillion))?",
    "share": rf"{_NUMBER}(?:%| per ?cent)",
    "names": r"(?<=[a-z,] )[A-Z][A-Za-z&'-]+(?: [A-Z][A-Za-z&'-]+){0,3}",
    "number": rf"(?<![$€£\d.,]){_NUMBER}(?: (?:million|billion))? [a-z]{{3,}}",
}


def facts_of_news(title: str, text: str) -> list[Fact]:
    """The facts of a piece of news: its title, and what its text has of each kind, at most eight
    values of one kind; last the other numbers.

    >>> [str(each) for each in facts_of_news("茶价上涨", "今日茶价上涨5%，达到每斤200元。")]
    ['标题：茶价上涨', '时间：今日', '金额：200元', '比例：5%']
    """
    chinese = language(text) == "chinese"
    key, between = ("标题", "、") if chinese else ("title", "; ")
    whole, facts = text, [Fact(key, " ".join(title.split()))]
    for name, pattern in (_CHINESE if chinese else _ENGLISH).items():
        found = (match[0].strip("《》“”") for match in re.finditer(pattern, text))
        # a name with a number in it, which is gone by now, is no name
        values = [each for each in dict.fromkeys(found) if "\n" not in each][:MOST]
        if values:
            facts.append(Fact(name, between.join(values)))
        text = re.sub(pattern, "\n", text)  # so that no part of it is found again
    # A model that learns from texts with other numbers learns to invent some.
    if others := invented(whole, lines_of(facts))[:MOST]:
        facts.append(Fact("其他数字" if chinese else "other numbers", between.join(others)))
    return facts
