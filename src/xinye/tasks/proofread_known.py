"""What a proofreader knows beside its network: words that it may write, and what is confused."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from xinye.errors import checked
from xinye.evaluation.edits import units_of
from xinye.runs.saved import DataFacts
from xinye.tasks.proofread_records import ProofText, confused

WORDS, SEEN = 8000, 2  # words that may be written; times that each occurs at least
LONGEST = 100  # characters of such a word
Word = Annotated[str, Field(min_length=1, max_length=LONGEST)]


class Known(BaseModel):
    """The most frequent `words` of the correct texts that are not Chinese, and for each wrong unit
    what is right instead, with how often people confused them: 0 if they are only in a file of
    confusions."""

    model_config = ConfigDict(frozen=True, strict=True)

    words: list[Word] = []
    confusions: dict[Word, dict[Word, Annotated[int, Field(ge=0, lt=2**31)]]] = {}

    @classmethod
    def learned(cls, records: Sequence[ProofText]) -> Self:
        """What training records tell."""
        found = (unit for record in records for unit in units_of(record.right))
        units = [unit for unit in found if len(unit.text) <= LONGEST]
        counts = Counter(unit.text for unit in units if unit.is_word and unit.text.isalpha())
        words = [word for word, count in counts.most_common(WORDS) if count >= SEEN]
        written = {unit.text for unit in units}
        tables = {id(record.maker.confusions): record.maker.confusions for record in records}
        others_of: dict[str, dict[str, int]] = {}
        for table in tables.values():
            for wrong, others in table.table.items():
                there = [each for each in others if each in written]
                others_of.setdefault(wrong, {}).update(dict.fromkeys(there, 0))
        for wrong, rights in confused(records).items():
            short = (each for each in rights if len(each) <= LONGEST)
            others_of.setdefault(wrong, {}).update(Counter(short))
        confusions = {
            wrong: others for wrong, others in others_of.items() if others and len(wrong) <= LONGEST
        }
        return cls(words=words, confusions=confusions)

    @classmethod
    def of_run(cls, facts: DataFacts, where: str) -> Self:
        """What a run saved. Raises `XinyeError` if it is damaged."""
        saved = {name: getattr(facts, name) for name in cls.model_fields}
        return checked(cls, {name: value for name, value in saved.items() if value}, where)
