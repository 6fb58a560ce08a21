"""`Answerer`: what the bot of a desk says.

A question goes from step to step until one answers: a template, the FAQ, the knowledge graph, a
quotation of a passage, a text that is written from passages. Intents, FAQ and documents answer only
from the confidence on that their calibration found for the wanted precision; the graph, if its
model finds what is asked of which entity. If nothing answers, the bot asks for other words, and
after some misses for a person.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Self

from xinye.apps.support.asked import Asked
from xinye.apps.support.calibrating import MEANT
from xinye.apps.support.cases import asks_employee
from xinye.apps.support.desk_folder import FAQ, TEMPLATES, DeskFolder
from xinye.apps.support.documents import may_answer
from xinye.apps.support.exchanges import says_something
from xinye.apps.support.log import (
    ANGRY,
    ASKED,
    BY_CASE,
    COMPLAINS,
    DOCUMENTS,
    ENTRY,
    FORBIDDEN,
    FOREIGN,
    GRAPH,
    INTENT,
    UNCERTAIN,
    reason_in,
)
from xinye.apps.support.matching import Match
from xinye.apps.support.messages import Message
from xinye.apps.support.models import Models
from xinye.apps.support.offers import offer, shown
from xinye.apps.support.reply import HANDOVER, UNSURE, Reply, Source
from xinye.apps.support.several import answered_each
from xinye.apps.support.small_talk import TEMPLATES as OURS_SAID
from xinye.apps.support.small_talk import about_the_bot, asks_for_person, complains, small_talk
from xinye.apps.support.understanding import Understanding
from xinye.data.scripts import has_han
from xinye.jobs.answering import answer as read_answer
from xinye.jobs.composing import PASSAGES, compose
from xinye.retrieval.confidence import Calibration, reached
from xinye.retrieval.follow_up import names
from xinye.retrieval.refusal import confidence_in
from xinye.retrieval.results import Found

# templates that rules choose, and no model
OF_RULES = {*OURS_SAID}.difference(("greeting", "thanks", "goodbye", "acknowledgement"))
OFFERED = 3  # questions of the FAQ that a customer may have meant
EVEN = 0.5  # precision from which on they are offered
SIMILAR = 0.5  # times the confidence of the first that the others have
WORDS_FOR = {COMPLAINS: "complaint", BY_CASE: "case"}  # the template for a reason of a handover


class Answerer:
    """Answers the messages of customers from a desk. One question at a time; others wait."""

    def __init__(self, desk: DeskFolder, models: Models) -> None:
        self.desk, self.models = desk, models
        self._understanding = Understanding(desk.matcher, desk.entries)
        self._lock = Lock()
        self._steps = (
            self._handed_over,
            self._from_template,
            self._from_faq_each,
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
            asked = self._asked(turns)
            for step in self._steps:
                reply = step(asked)
                if reply and not _is_of_another(reply, asked.thing):
                    return reply
            return self._missed(asked)

    def suggestions(self, turns: Sequence[Message], count: int = OFFERED) -> list[Reply]:
        """What an operator might reply, the likeliest first, whatever the thresholds say."""
        with self._lock:
            asked = self._asked(turns)
            matches = self.desk.matcher.matches(asked.meant, count)
            found = [self._entry(each.entry, each.confidence) for each in matches]
            if graph := self._from_graph(asked):
                found.insert(0, graph)
            if passages := self._passages(asked.question):
                sure = self._sure(asked.question, passages)
                passage = self._cited("passage", passages[0].text, passages[:1], sure, "")
                found = [*found[: count - 1], passage]
        return sorted(found[:count], key=lambda each: -(each.score or 0))

    def _asked(self, turns: Sequence[Message]) -> Asked:
        return Asked.of(turns, self.desk.settings.languages, self._understanding.understood)

    # -- a person, and templates -------------------------------------------------------------------

    def _handed_over(self, asked: Asked) -> Reply | None:
        """A person is asked for, or should answer."""
        settings = self.desk.settings
        if asks_for_person(asked.text) or asked.mentions(settings.person_words):
            return self._handover(asked, ASKED)
        if complains(asked.text):
            return self._handover(asked, COMPLAINS)
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
        said = WORDS_FOR.get(reason_in(why), "person")
        _, text = self.desk.said(said, asked.language)
        return Reply(HANDOVER, text, (), score, least, why, model)

    def _from_template(self, asked: Asked) -> Reply | None:
        """A fixed text for small talk, or for what the question is about."""
        if asked.denies:
            return self._calmed(asked, "denied")
        if not asked.chosen and (intent := small_talk(asked.text)):
            return self._template(asked, intent, None)
        match about_the_bot(asked.text):
            case "bot":
                return self._template(asked, "bot", None)
            case "upset":
                return self._calmed(asked, "upset")
        if not says_something(asked.bare):  # a phone number that was masked, an emoji, or "?"
            calls = bool({*asked.bare} & {"?", "？"})
            if calls and asked.earlier:
                return self._calmed(asked, "unsure")
            return self._template(asked, "greeting" if calls else "acknowledgement", None)
        intents, least = self.models.intents, self._least_of_intents()
        if intents is None or least is None:
            return None
        [(intent, share)] = intents.likeliest([asked.question])
        if share < least or intent in OF_RULES:
            return None
        return self._template(asked, intent, share)

    def _calmed(self, asked: Asked, intent: str) -> Reply:
        """What is said to an insult, to "not that" and to "???": it counts as a question without an
        answer. One "not that" is heard out: it was asked to be said in other words."""
        heard_out = intent == "denied" and asked.misses < self.desk.settings.misses
        if asked.misses + 1 >= self.desk.settings.misses and not heard_out:
            return self._handover(asked, ANGRY if intent == "upset" else _misses(asked))
        return Reply(UNSURE, self.desk.said(intent, asked.language)[1], why=f"{INTENT}: {intent}")

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

    def _from_faq_each(self, asked: Asked) -> Reply | None:
        """The answers to several questions of one message."""
        return answered_each(asked, self._from_faq, self.desk.said("rest", asked.language)[1])

    def _from_faq(self, asked: Asked) -> Reply | None:
        """The answer of an entry that is sure enough to be meant; a person, if that is about the
        case of a customer."""
        matcher, least = self.desk.matcher, self._least_of_faq()
        match = self._offered(asked) or matcher.match(asked.bare)
        if match is None or (asked.follows and match.confidence < 1):
            match = matcher.match(asked.meant)
        if match is None or match.confidence < (1 if least is None else least):
            return None
        if asked.thing:
            if not self._understanding.tells(match.entry, asked.thing, asked.before):
                return None
        elif asked.follows and asked.was_given(self._source(match.entry)):
            return None  # that was the answer to the question before
        if not self.desk.entries[match.entry].answered:
            why = f"{BY_CASE}: {FAQ}:{match.entry + 1}"
            return self._handover(asked, why, match.confidence, self.desk.matcher_hash)
        reply = self._entry(match.entry, match.confidence)
        if match.confidence < 1 and self._understanding.adds(asked.meant, match.entry):
            return self._restated(reply, match.entry, asked.language)
        return reply

    def _restated(self, reply: Reply, entry: int, language: str) -> Reply | None:
        """An answer behind the question that it belongs to, since a word of the customer's question
        is new. None if customers may not read that question."""
        if not self.desk.entries[entry].offered:
            return None
        _, said = self.desk.said("restate", language)
        before = f"{said}{shown(self.desk.entries[entry].question)}\n"
        return replace(reply, text=f"{before}{reply.text}", before=before)

    def _offered(self, asked: Asked) -> Match | None:
        """The entry that was chosen of an offer."""
        chosen = enumerate(self.desk.entries) if asked.chosen else ()
        found = (at for at, each in chosen if each.offered and shown(each.question) == asked.bare)
        return next((Match(at, 1.0) for at in found), None)

    def _entry(self, number: int, confidence: float) -> Reply:
        entry = self.desk.entries[number]
        return Reply(
            "faq",
            entry.answer,
            (self._source(number),),
            confidence,
            self._least_of_faq(),
            f"{ENTRY}: {FAQ}:{number + 1}",
            self.desk.matcher_hash,
        )

    def _source(self, number: int) -> Source:
        entry = self.desk.entries[number]
        return Source(Path(entry.file).name, entry.line, entry.question)

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
        """An answer from the documents, if they are sure enough to have it and the FAQ is not
        likely to: quoted by the model that finds it, else written by the chat model, else the whole
        passage."""
        found = self._passages(asked.question)
        confidence, least = self._sure(asked.question, found)
        if confidence is None or least is None or confidence < least:
            return None
        if not may_answer(asked.question, found):
            return None
        match = self.desk.matcher.match(asked.meant)
        if match and match.confidence >= MEANT:
            return None
        sure = confidence, least
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
        reply = self._cited("passage", found[0].text, found[:1], sure, self.desk.knowledge_hash)
        if asked.follows and asked.was_given(*reply.sources) and not asked.thing:
            return None  # that was the answer to the question before
        before = f"{self.desk.said('quote', asked.language)[1]}\n"
        return replace(reply, text=f"{before}{reply.text}", before=before)

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

    def _sure(self, question: str, found: Sequence[Found]) -> tuple[float | None, float | None]:
        """How sure the documents are that the first passage answers, and from when on they answer.
        The calibration is read each time, since it changes with the documents."""
        base = self.desk.knowledge
        calibration = Calibration.load(base.folder) if base and found else None
        if base is None or calibration is None:
            return None, None
        least = calibration.reached(self.desk.settings.precision_documents)
        confidence = confidence_in(base, calibration, question, found)
        return confidence, least.confidence if least else None

    # -- no answer ---------------------------------------------------------------------------------

    def _missed(self, asked: Asked) -> Reply:
        """What is said without an answer: whether one of some questions is meant, or that a person
        is asked."""
        matches = self.desk.matcher.matches(asked.meant, OFFERED)
        score = matches[0].confidence if matches else None
        if asks_employee(asked.bare):
            return self._handover(asked, BY_CASE, score)
        if asked.misses + 1 >= self.desk.settings.misses:
            return self._handover(asked, _misses(asked), score, least=self._least_of_faq())
        if self._is_foreign(asked):
            _, text = self.desk.said("language", asked.written)
            return Reply(UNSURE, text, score=score, why=FOREIGN)
        questions = self._likely(matches, asked)
        intent = "offer_one" if len(questions) == 1 else "offer" if questions else "unsure"
        _, said = self.desk.said(intent, asked.language)
        text = "\n".join([said, offer(questions)]) if questions else said
        return Reply(
            UNSURE, text, (), score, self._least_of_faq(), UNCERTAIN, self.desk.matcher_hash
        )

    def _is_foreign(self, asked: Asked) -> bool:
        """True for a message in a language that neither FAQ nor documents speak."""
        spoken = self._understanding.languages
        if not spoken or not asked.written or asked.written in spoken:
            return False
        found = (each.text for each in self._passages(asked.question))
        return not any(has_han(text) == (asked.written == "zh") for text in found)

    def _likely(self, matches: Sequence[Match], asked: Asked) -> list[str]:
        """The questions that a customer may have meant, of those that customers may read and that
        were not answered just now. Of the questions with one answer it is the first."""
        likely = self.desk.matcher.threshold(EVEN)
        if self.desk.matcher.calibration and likely is None:
            return []
        first = matches[0].confidence if matches else 0.0
        if first < (likely or 0.0):
            return []
        questions: dict[str, str] = {}
        for each in matches:
            entry = self.desk.entries[each.entry]
            near = each.confidence >= SIMILAR * first and not asked.was_given(
                self._source(each.entry)
            )
            if near and entry.offered and entry.answered:
                questions.setdefault(entry.answer, shown(entry.question))
        return [*dict.fromkeys(questions.values())]

    # -- the desk ----------------------------------------------------------------------------------

    def _least_of_intents(self) -> float | None:
        found = reached(self.desk.calibrations.intents, self.desk.settings.precision)
        return found.confidence if found else None

    def _least_of_faq(self) -> float | None:
        return self.desk.matcher.threshold(self.desk.settings.precision)

    def _hash(self, role: str) -> str:
        return self.models.hashes.get(role, "")


def _misses(asked: Asked) -> str:
    """Why a message is handed over that is one miss too many."""
    return f"{UNCERTAIN}: {asked.misses + 1}×"


def _is_of_another(reply: Reply, thing: str) -> bool:
    """True for a reply from documents to "And the cup?" that does not name the cup."""
    found = " ".join([reply.text, *(each.passage for each in reply.sources)])
    return bool(thing) and reply.kind in ("passage", "written") and not names(found, thing)
