"""Makes one question of a message and the question before it, in words of the FAQ."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from xinye.apps.support.faq import Entry
from xinye.apps.support.matching import FAQMatcher
from xinye.data.scripts import has_han
from xinye.retrieval.follow_up import about, follows, in_context, names, thing, with_thing

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
        one that an entry naming the cup fits best. Any other gets the thing of the one before."""
        if not before or not follows(question):
            return question
        near = self.matcher.matches(question, NEAR)
        known = [self.entries[each.entry].question for each in near]
        carried = about(question, before, known)
        if named := thing(question):
            ways = [*with_thing(before, named), carried]
            return self._best([text for text in ways if text], named) or f"{before} {named}"
        return carried or in_context(question, before)

    def names(self, entry: int, named: str) -> bool:
        """True if a wording or the answer of an entry names a thing."""
        found = self.entries[entry]
        return any(names(text, named) for text in (found.answer, *found.wordings))

    def _best(self, questions: Sequence[str], named: str) -> str:
        """The question that an entry naming a thing fits best; "" if none does."""
        found: dict[str, tuple[float, int]] = {}
        naming = cache(lambda entry: self.names(entry, named))
        for text in questions:
            match = self.matcher.match(text)
            if match and naming(match.entry):
                found[text] = round(match.confidence, 2), -len(text)  # less of the old thing
        return max(found, key=lambda text: found[text], default="")
