"""The records of the task `write`: a kind, the facts, and the text that says them."""

from dataclasses import dataclass
from typing import Any

from xinye.data.columns import find_column
from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.errors import XinyeError
from xinye.evaluation.summaries import size
from xinye.planning.kinds import find_kind
from xinye.tasks.records import expected, note_unread, text_in
from xinye.tasks.text_to_text import TextRecord
from xinye.tasks.write_brief import Brief
from xinye.tasks.write_facts import Fact, checked_facts, lines_of, read_facts
from xinye.tasks.write_news import facts_of_news
from xinye.tasks.writing_records import Named

KIND = ("kind", "类型", "种类", "体裁")
FACTS = ("facts", "要点", "事实", "points", "keywords", "关键词")
TEXT = ("text", "正文", "content", "body", "output", "文章", "内容")
TITLE = ("title", "标题", "headline", "题目")
REPLY_TO = ("reply_to", "reply-to", "来信", "original")


@dataclass(frozen=True)
class WriteRecord(TextRecord):
    """A text to write. `source` holds the facts, one a line, and `target` the text."""

    kind: str = ""
    facts: tuple[Fact, ...] = ()
    reply_to: str = ""

    @property
    def brief(self) -> Brief:
        """What the text is written from, with the length of the text itself."""
        return Brief(self.kind, self.facts, size(self.target), self.reply_to)

    @property
    def without_length(self) -> "WriteRecord":
        """The record with a prompt that names no length."""
        brief = Brief(self.kind, self.facts, None, self.reply_to)
        return self.of(brief, self.target, self.place, self.format)

    @property
    def given(self) -> str:
        """The facts and the mail, in which the numbers of the text should stand."""
        return f"{self.source}\n{self.reply_to}"

    @classmethod
    def of(cls, brief: Brief, target: str, place: str, read_as: str) -> "WriteRecord":
        """The record of a text that was written from a brief."""
        asked = {"role": "user", "content": brief.prompt}
        answer = {"role": "assistant", "content": target}
        facts = tuple(brief.facts)
        return cls(
            (asked, answer), place, read_as, lines_of(facts), target, brief.kind, facts,
            brief.reply_to,
        )  # fmt: skip


def read_record(row: Any, place: str, notes: Notes, **columns: str | None) -> WriteRecord:
    """The record in a row: an object with kind, facts and text; news with title and text, from
    which facts are read; or a list of title and text. Raises `XinyeError` for another row."""
    if isinstance(row, list) and len(row) == 2 and all(isinstance(each, str) for each in row):
        return read_record(dict(zip(("title", "text"), row, strict=True)), place, notes)
    found = row if isinstance(row, dict) else {}
    named = Named(**columns)
    named.check(found, place)
    facts_column, text_column = named.find(found, FACTS, TEXT, endings=True)
    kind_column, title, mail = (
        find_column(found, names, True) for names in (KIND, TITLE, REPLY_TO)
    )
    if text_column is None or not (facts_column or title):
        raise XinyeError(
            f"{place}: expected the fields 'kind', 'facts' and 'text', or for news 'title' and "
            f"'text'; found {', '.join(map(str, found)) or repr(row)[:60]}. Name other columns "
            "with --prompt-field (the facts) and --answer-field (the text)"
        )
    text = text_in(found, text_column, place).strip()
    if not text:
        raise expected(f"{place}, field {text_column!r}", "a text", found[text_column])
    if facts_column:
        facts = read_facts(found[facts_column], f"{place}, field {facts_column!r}")
        title = None
    else:
        assert title is not None
        headline = text_in(found, title, place).strip()
        if not headline:
            raise expected(f"{place}, field {title!r}", "a title", found[title])
        facts = checked_facts(facts_of_news(headline, text), place)
    kind = _kind(found, kind_column, "" if facts_column else "news", place)
    reply_to = text_in(found, mail, place).strip() if mail and found[mail] else ""
    read = [name for name in (kind_column, facts_column, title, text_column, mail) if name]
    note_unread(found, read, place, notes)
    read_as = ", ".join(map(repr, read[:-1])) + f" and {read[-1]!r}"
    brief = Brief(kind, facts, size(text), _of_mail(reply_to, kind, place))
    return WriteRecord.of(brief, text, place, read_as)


def _kind(row: Row, column: str | None, otherwise: str, place: str) -> str:
    """The kind of a row's text. News with a title need not say that it is news."""
    given = row.get(column) if column else otherwise
    if not given or not isinstance(given, str):
        raise XinyeError(
            f"{place}: there is no kind. Add a column 'kind' with news, mail, advert or story"
        )
    try:
        return find_kind(given)
    except XinyeError as error:
        raise XinyeError(f"{place}, field {column!r}: {error}") from None


def _of_mail(reply_to: str, kind: str, place: str) -> str:
    """The mail to answer. Raises `XinyeError` if a text of another kind has one."""
    if reply_to and kind != "mail":
        raise XinyeError(f"{place}: only a mail answers another mail; this is the kind {kind!r}")
    return reply_to
