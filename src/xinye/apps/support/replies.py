"""`Answerer`: what the bot of a desk says.

A question goes from step to step until one answers: a template, the FAQ, the knowledge graph, a
quotation of a passage, a text that is written from passages. Intents, FAQ and documents answer only
from the confidence on that their calibration found for the wanted precision; the graph, if its
model finds what is asked of which entity. If nothing answers, the bot asks for other words, and
after some misses for a person.
"""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Self

from xinye.apps.support.asked import Asked, offer
from xinye.apps.support.desk_folder import FAQ, TEMPLATES, DeskFolder
from xinye.apps.support.exchanges import says_something
from xinye.apps.support.log import (
    ANGRY,
    ASKED,
    DOCUMENTS,
    ENTRY,
    FORBIDDEN,
    GRAPH,
    INTENT,
    UNCERTAIN,
)
from xinye.apps.support.matching import Match
from xinye.apps.support.messages import Message
from xinye.apps.support.models import Models
from xinye.apps.support.reply import HANDOVER, UNSURE, Reply, Source
from xinye.apps.support.small_talk import asks_for_person, small_talk
from xinye.jobs.answering import answer as read_answer
from xinye.jobs.composing import PASSAGES, compose
from xinye.retrieval.confidence import Calibration, reached
from xinye.retrieval.follow_up import about
from xinye.retrieval.refusal import judge
from xinye.retrieval.results import Found

OFFERED = 3  # questions of the FAQ that a customer may have meant
NEAR = 20  # questions of the FAQ that may say what a customer talks about
EVEN = 0.5  # precision from which on they are offered
SIMILAR = 0.5  # times the confidence of the first that the others have


class Answerer:
    """Answers the messages of customers from a desk. One question at a time; others wait."""

    def __init__(self, desk: DeskFolder, models: Models) -> None:
        self.desk, self.models = desk, models
        self._lock = Lock()
        self._steps = (
            self._handed_over,
            self._from_template,
            self._from_faq,
            self._from_graph,
            self._from_passage,
        )

    @classmethod
    def read(cls, folder: str | Path) -> "Answerer":
        """The answerer of the desk in a folder. Raises `XinyeError` if the desk or one of its
        models is damaged."""
        desk = DeskFolder.read(folder)
        return cls(desk, Models.load(desk)).warm()

    def warm(self) -> Self:
        """Read now what is otherwise read for the first question; returns itself."""
        self.answer([Message.of_customer("first 第一")])
        return self

    def answer(self, turns: Sequence[Message]) -> Reply:
        """The reply to the last of some messages, which is the customer's."""
        with self._lock:
            asked = Asked.of(turns, self.desk.settings.languages)
            for step in self._steps:
                if reply := step(asked):
                    return reply
            return self._missed(asked)

    def suggestions(self, turns: Sequence[Message], count: int = OFFERED) -> list[Reply]:
        """What an operator might reply, the likeliest first, whatever the thresholds say."""
        with self._lock:
            asked = Asked.of(turns, self.desk.settings.languages)
            matches = self.desk.matcher.matches(self._about(asked), count)
            found = [self._entry(each.entry, each.confidence) for each in matches]
            if graph := self._from_graph(asked):
                found.insert(0, graph)
            if passages := self._passages(asked.question):
                least = self._least_of_passages()
                found.append(
                    self._cited("passage", passages[0].text, passages[:1], (None, least), "")
                )
        return sorted(found, key=lambda each: -(each.score or 0))[:count]

    # -- a person, and templates -------------------------------------------------------------------

    def _handed_over(self, asked: Asked) -> Reply | None:
        """A person is asked for, or should answer."""
        settings = self.desk.settings
        if asks_for_person(asked.text) or asked.mentions(settings.person_words):
            return self._handover(asked, ASKED)
        if topic := asked.mentions(settings.forbidden):
            return self._handover(asked, f"{FORBIDDEN}: {topic}")
        if (model := self.models.get("mood")) and asked.text.strip():
            found = model.classify(asked.text)
            moods = found.get("labels") or [found["label"]]
            if mood := next((each for each in moods if each in settings.angry), ""):
                chance = found["probabilities"][mood]
                return self._handover(asked, f"{ANGRY}: {mood}", chance, self._hash("mood"))
        return None

    def _handover(
        self,
        asked: Asked,
        why: str,
        score: float | None = None,
        model: str = "",
        least: float | None = None,
    ) -> Reply:
        _, text = self.desk.said("person", asked.language)
        return Reply(HANDOVER, text, (), score, least, why, model)

    def _from_template(self, asked: Asked) -> Reply | None:
        """A fixed text for small talk, or for what the question is about."""
        if intent := small_talk(asked.text):
            return self._template(asked, intent, None)
        if not says_something(asked.bare):  # a phone number that was masked, "?" or an emoji
            return self._template(asked, "acknowledgement", None)
        intents, least = self.models.intents, self._least_of_intents()
        if intents is None or least is None:
            return None
        [(intent, share)] = intents.likeliest([asked.question])
        return self._template(asked, intent, share) if share >= least else None

    def _template(self, asked: Asked, intent: str, score: float | None) -> Reply | None:
        """The template of an intent; None if there is none."""
        number, text = self.desk.said(intent, asked.language)
        if not text:
            return None
        least = None if score is None else self._least_of_intents()
        model = "" if score is None else self._hash("intents")
        source = (Source(TEMPLATES, number, text),) if number else ()
        return Reply("template", text, source, score, least, f"{INTENT}: {intent}", model)

    # -- the FAQ -----------------------------------------------------------------------------------

    def _from_faq(self, asked: Asked) -> Reply | None:
        """The answer of an entry that is sure enough to be meant."""
        matcher, least = self.desk.matcher, self._least_of_faq()
        match = matcher.match(asked.bare)
        if match is None or (asked.follows and match.confidence < 1):
            match = matcher.match(self._about(asked))
        if match is None or match.confidence < (1 if least is None else least):
            return None
        if asked.follows and self.desk.entries[match.entry].answer == asked.given:
            return None  # that was the answer to the question before
        return self._entry(match.entry, match.confidence)

    def _about(self, asked: Asked) -> str:
        """The question with the thing talked about."""
        if not asked.follows:
            return asked.bare
        near = self.desk.matcher.matches(asked.bare, NEAR)
        known = [self.desk.entries[each.entry].question for each in near]
        return about(asked.bare, asked.before, known) or asked.question

    def _entry(self, number: int, confidence: float) -> Reply:
        entry = self.desk.entries[number]
        return Reply(
            "faq",
            entry.answer,
            (Source(Path(entry.file).name, entry.line, entry.question),),
            confidence,
            self._least_of_faq(),
            f"{ENTRY}: {FAQ}:{number + 1}",
            self.desk.matcher_hash,
        )

    # -- documents ---------------------------------------------------------------------------------

    def _from_graph(self, asked: Asked) -> Reply | None:
        model, graph = self.models.get("relations"), self.models.graph
        if model is None or graph is None or not asked.bare.strip():
            return None
        found = model.answer(asked.bare, knowledge=graph, earlier=asked.earlier)
        if found.refused:
            return None
        facts = [fact for request in found.requests for fact in request.facts]
        sources = tuple(
            Source(Path(fact.file).name, fact.line, f"{fact.head}, {fact.relation}: {fact.tail}")
            for fact in facts
        )
        asked_for = ", ".join(f"{each.entity}: {each.relation}" for each in found.requests)
        score = min(found.probabilities, default=None)
        why = f"{GRAPH}: {asked_for}"
        return Reply("graph", found.text, sources, score, None, why, self._hash("relations"))

    def _from_passage(self, asked: Asked) -> Reply | None:
        """An answer from the documents, if the knowledge base is sure enough to have it: quoted by
        the model that finds it, else written by the chat model, else the whole passage, of which
        the base is sure."""
        base, found = self.desk.knowledge, self._passages(asked.question)
        least = self._least_of_passages() if found else None
        if base is None or least is None:
            return None
        verdict = judge(base, asked.question, found, self.desk.settings.precision)
        if verdict is None or verdict.refused:
            return None
        sure = verdict.confidence, least
        if reader := self.models.get("answer"):
            read = read_answer(reader.judged(), asked.question, [found[0].text])
            if not read.refused:
                return self._cited("passage", read.sentence, found[:1], sure, self._hash("answer"))
        if writer := self.models.get("chat"):
            composed = compose(writer.engine, asked.question, found)
            if composed.text and not composed.fallen_back:
                cited = [each.source for each in composed.citations]
                return self._cited("written", composed.text, cited, sure, self._hash("chat"))
        if reader:  # it has looked, and found nothing
            return None
        if found[0].text == asked.given:
            return None  # that was the answer to the question before
        return self._cited("passage", found[0].text, found[:1], sure, self.desk.knowledge_hash)

    def _passages(self, question: str) -> list[Found]:
        base = self.desk.knowledge
        if base is None or not question.strip():
            return []
        return base.search(question, PASSAGES)

    def _cited(
        self,
        kind: str,
        text: str,
        found: Sequence[Found],
        sure: tuple[float | None, float | None],
        model: str,
    ) -> Reply:
        """A reply from passages; `sure` has its score and the threshold."""
        sources = tuple(
            Source(self.desk.name_of(each.file), each.line, each.text) for each in found
        )
        return Reply(kind, text, sources, *sure, DOCUMENTS, model)

    def _least_of_passages(self) -> float | None:
        """The threshold of the knowledge base, which is calibrated anew when documents change."""
        base = self.desk.knowledge
        calibration = Calibration.load(base.folder) if base else None
        found = calibration and calibration.reached(self.desk.settings.precision)
        return found.confidence if found else None

    # -- no answer ---------------------------------------------------------------------------------

    def _missed(self, asked: Asked) -> Reply:
        """What is said without an answer: whether one of some questions is meant, or that a person
        is asked."""
        matches = self.desk.matcher.matches(self._about(asked), OFFERED)
        score = matches[0].confidence if matches else None
        if asked.misses + 1 >= self.desk.settings.misses:
            why, least = f"{UNCERTAIN}: {asked.misses + 1}×", self._least_of_faq()
            return self._handover(asked, why, score, least=least)
        questions = self._likely(matches)
        _, said = self.desk.said("offer" if questions else "unsure", asked.language)
        text = "\n".join([said, offer(questions)]) if questions else said
        return Reply(
            UNSURE, text, (), score, self._least_of_faq(), UNCERTAIN, self.desk.matcher_hash
        )

    def _likely(self, matches: Sequence[Match]) -> list[str]:
        """The questions that a customer may have meant, of those that customers may read."""
        likely = self.desk.matcher.threshold(EVEN)
        if self.desk.matcher.calibration and likely is None:
            return []
        first = matches[0].confidence if matches else 0.0
        if first < (likely or 0.0):
            return []
        near = (
            self.desk.entries[each.entry] for each in matches if each.confidence >= SIMILAR * first
        )
        return [entry.question for entry in near if entry.offered]

    # -- the desk ----------------------------------------------------------------------------------

    def _least_of_intents(self) -> float | None:
        found = reached(self.desk.calibrations.intents, self.desk.settings.precision)
        return found.confidence if found else None

    def _least_of_faq(self) -> float | None:
        return self.desk.matcher.threshold(self.desk.settings.precision)

    def _hash(self, role: str) -> str:
        return self.models.hashes.get(role, "")
