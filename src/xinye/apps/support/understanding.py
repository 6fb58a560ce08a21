"""Makes one question of a message and the question before it, in words of the FAQ."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from xinye.apps.support.faq import Entry
from xinye.apps.support.groups import negates
from xinye.apps.support.matching import FAQMatcher
from xinye.apps.support.offers import shown
from xinye.data.scripts import has_han
from xinye.retrieval.follow_up import (
    about,
    follows,
    in_context,
    names,
    said_things,
    thing,
    with_thing,
)

LANGUAGE = 0.05  # share of the questions in a language from which on the FAQ speaks it
NEAR = 20  # questions of the FAQ that may say what a customer talks about


@dataclass(frozen=True)
class Understanding:
    """What the FAQ knows about questions that need the one before."""

    matcher: FAQMatcher
    entries: Sequence[Entry]

    @cached_property
    def languages(self) -> frozenset[str]:
        """The languages of the FAQ's questions, "zh" and "en"."""
        chinese = sum(has_han(each.question) for each in self.entries)
        counts = {"zh": chinese, "en": len(self.entries) - chinese}
        fewest = LANGUAGE * len(self.entries)
        return frozenset(name for name, count in counts.items() if count and count >= fewest)

    def understood(self, question: str, before: str) -> str:
        """A question that can be understood without the one before. "And the cup?" stands for the
        question before with its thing replaced, or for a question about its thing: of all ways, the
        one that an entry about the cup fits best. Any other gets the thing of the one before."""
        if not before or not follows(question):
            return question
        near = self.matcher.matches(question, NEAR)
        known = [self.entries[each.entry].question for each in near]
        carried = about(question, before, known)
        if named := thing(question):
            ways = [*with_thing(before, named), *([carried] if carried else [])]
            return self._best(ways, named, before) or f"{before} {named}"
        return carried or in_context(question, before)

    def tells(self, entry: int, named: str, before: str) -> bool:
        """True if an entry is about a thing: a wording names it, or the answer does if it also
        answers the question before. An answer names many things in passing."""
        found = self.entries[entry]
        if any(names(text, named) for text in found.wordings):
            return True
        match = self.matcher.match(before) if names(found.answer, named) else None
        return match is not None and match.entry == entry

    def adds(self, question: str, entry: int) -> bool:
        """True if a question has a word, in Chinese a character, that neither a wording nor the
        answer of an entry has, or has or lacks a negation as no wording does: one about dogs may
        otherwise be just like one about cats."""
        found = self.entries[entry]
        known = said_things(" ".join([*found.wordings, found.answer]))
        if not said_things(shown(question)) <= known:
            return True
        return negates(question) not in map(negates, found.wordings)

    def _best(self, questions: Sequence[str], named: str, before: str) -> str:
        """The question that an entry about a thing fits best; "" if none does."""
        found: dict[str, tuple[float, int]] = {}
        telling = cache(lambda entry: self.tells(entry, named, before))
        for text in questions:
            match = self.matcher.match(text)
            if match and match.confidence > 0 and telling(match.entry):
                found[text] = round(match.confidence, 2), -len(text)  # less of the old thing
        return max(found, key=lambda text: found[text], default="")
