"""What a text is written from: its kind, its facts, its length and the mail that it answers. As the
prompt of a model, and as a filled template, which is the baseline.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xinye.evaluation.summaries import is_chinese
from xinye.runs.words import Both
from xinye.tasks.write_facts import Fact, lines_of

REPLY = "reply"
_ASKS = {
    "news": Both("Write a news report", "写一则新闻"),
    "mail": Both("Write an e-mail", "写一封邮件"),
    "advert": Both("Write an advertisement", "写一则广告"),
    "story": Both("Write a story", "写一个故事"),
    REPLY: Both("Write a reply to the mail below", "写一封邮件，回复下面的来信"),
}
_TEMPLATES = {
    "news": Both("{facts} This was announced today.", "{facts}这是今天公布的消息。"),
    "mail": Both(
        "Dear all,\n\n{facts} Please write to us if you have questions.\n\nKind regards",
        "您好！\n\n{facts}如有疑问，请随时与我们联系。\n\n此致\n敬礼",
    ),
    "advert": Both("Have you heard? {facts} Come and see!", "好消息！{facts}欢迎选购！"),
    "story": Both(
        "Once upon a time something happened. {facts} People still tell of it.",
        "从前有过这样一件事。{facts}人们至今还在讲它。",
    ),
    REPLY: Both(
        "Thank you for your mail. {facts} Please write again if you have more questions.\n\n"
        "Kind regards",
        "您好，来信收到。{facts}如还有疑问，请再来信。\n\n此致\n敬礼",
    ),
}
_ENDS = "。！？!?.…”’\"'"


@dataclass(frozen=True)
class Brief:
    """An order for a text of a kind. `size` is the wanted length in characters of Chinese, or in
    words, or None; `reply_to` is the mail to answer, or ""."""

    kind: str
    facts: Sequence[Fact]
    size: int | None = None
    reply_to: str = ""

    @property
    def chinese(self) -> bool:
        """Whether the text is to be Chinese: as the names of the facts are, or the facts."""
        named = "".join(fact.key for fact in self.facts)
        return is_chinese(named or "".join(fact.value for fact in self.facts))

    @property
    def prompt(self) -> str:
        """What a model is asked, in training and in use, in the language of the facts."""
        facts = lines_of(self.facts)
        ask = self._in_language(_ASKS[self._form])
        if self.chinese:
            length = f"，约{_rounded(self.size)}字" if self.size else ""
            mail = f"\n\n来信：\n{self.reply_to}" if self.reply_to else ""
            return f"{ask}{length}。要点：\n{facts}{mail}"
        length = f" in about {_rounded(self.size)} words" if self.size else ""
        mail = f"\n\nThe mail:\n{self.reply_to}" if self.reply_to else ""
        return f"{ask}{length}. Use these facts:\n{facts}{mail}"

    @property
    def template(self) -> str:
        """The text that a template makes of the facts: a sentence for each."""
        facts = ("" if self.chinese else " ").join(map(self._sentence, self.facts))
        return self._in_language(_TEMPLATES[self._form]).format(facts=facts)

    @property
    def _form(self) -> str:
        return REPLY if self.reply_to else self.kind

    def _in_language(self, words: Both) -> str:
        return words.zh if self.chinese else words.en

    def _sentence(self, fact: Fact) -> str:
        is_headline = fact is self.facts[0] and fact.key in ("标题", "title")
        if not fact.key or is_headline:
            end = "。" if self.chinese else "."
            return fact.value + ("" if fact.value[-1] in _ENDS else end)
        return f"{fact.key}是{fact.value}。" if self.chinese else f"{fact.key}: {fact.value}."


def _rounded(size: int) -> int:
    """A length as people say it: 10, 20, 30 …"""
    return max(10, 10 * round(size / 10))
