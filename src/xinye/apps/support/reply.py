"""`Reply`: what the bot says to a question, and on what evidence."""

from dataclasses import dataclass

HANDOVER = "handover"  # the kind of a reply that asks for a person
FROM_DOCUMENTS = ("passage", "graph", "written")  # kinds that quote what the company has published
UNSURE = "unsure"  # the kind of a reply that asks the customer to say it in other words


@dataclass(frozen=True)
class Source:
    """A passage that a reply is based on, and where it stands."""

    file: str
    line: int | None
    passage: str


@dataclass(frozen=True)
class Reply:
    """A reply, or with the kind "handover" the words with which the customer is handed over.

    `why` says for the log why it was given or refused. That of a handover begins with one of
    `log.REASONS`, that of another reply with one of `log.GROUNDS`. Details that read the same in
    every language follow behind a colon, such as "faq.jsonl:3". `model` is the hash of the model
    that decided, or "". `before` is what stands in the text before the answer, such as "If you are
    asking this: …"."""

    kind: str  # "template", "faq", "passage", "graph", "written", "unsure" or "handover"
    text: str
    sources: tuple[Source, ...] = ()
    score: float | None = None
    threshold: float | None = None
    why: str = ""
    model: str = ""
    before: str = ""

    @property
    def answer(self) -> str:
        """The text without what stands before the answer."""
        return self.text.removeprefix(self.before)
