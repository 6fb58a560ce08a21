"""Written answers: `xinye answer --compose`, and what `xinye chat --knowledge` prints beside
them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from xinye.cli.knowledge import place_of, show_unanswered, source_of
from xinye.cli.output import answer, console, prepare_writing, print_json, verbatim
from xinye.errors import plural

if TYPE_CHECKING:  # it brings torch
    from xinye.generation.chat import Conversation
    from xinye.jobs.answering import LookedUp
    from xinye.jobs.composing import Composed


def compose_answers(
    model: str, questions: Sequence[str], looked_up: Iterable["LookedUp"], as_json: bool
) -> int:
    """Let a chat model answer each question from what was looked up for it."""
    from xinye.api import load
    from xinye.jobs.composing import compose_or_refuse

    engine = load(model).engine
    prepare_writing()
    answers = []
    for question, found in zip(questions, looked_up, strict=True):
        composed = compose_or_refuse(engine, question, found)
        answers.append(composed)
        if not as_json:
            if len(questions) > 1:
                answer.print(verbatim(question, "bold"), soft_wrap=True)
            if composed.text:
                answer.print(verbatim(composed.text), soft_wrap=True)
            show_composed(composed)
    if as_json:
        pairs = zip(questions, answers, strict=True)
        results = [
            {"question": question, "text": each.text} | composed_json(each)
            for question, each in pairs
        ]
        print_json({"results": results})
    elif len(questions) > 1:
        given = [each for each in answers if each.text]
        show_count(len(given), sum(each.fallen_back for each in given))
    return 0


def show_sources(conversation: "Conversation") -> None:
    """Print the sources of the last answer, if the conversation has a knowledge base."""
    from xinye.jobs.composing import Consultation

    if isinstance(conversation, Consultation):
        show_composed(conversation.composed)


def show_composed(composed: "Composed") -> None:
    """Print the passages that an answer cites, and why it is a quotation if it is one."""
    if composed.refused:
        show_unanswered(composed.refused, composed.passages)
    for each in composed.citations:
        source = source_of(each.source)
        told = [f"[{each.number}]", source, place_of(each.source) if each.source.file else ""]
        answer.print(verbatim(f"  {' '.join(filter(None, told))}", "dim"), soft_wrap=True)
    if composed.fallen_back:
        if composed.unsupported:
            words = ", ".join(map(repr, composed.unsupported))
            why = f"the model wrote what no passage has: {words}"
        else:
            why = "the model wrote no answer from the passages"
        console.print(f"quoted from the passage, because {why}", style="dim", soft_wrap=True)
    if composed.left_out:
        console.print(
            f"{plural(composed.left_out, 'passage')} did not fit into the context", style="dim"
        )


def show_share(conversation: "Conversation") -> None:
    """Print how many answers of a conversation with a knowledge base are quotations."""
    from xinye.jobs.composing import Consultation

    if isinstance(conversation, Consultation):
        show_count(conversation.answers, conversation.fallen_back)


def show_count(answers: int, fallen_back: int) -> None:
    """Print how many answers are quotations."""
    if not answers:
        return
    console.print(
        f"{plural(answers, 'answer')}, {fallen_back / answers:.0%} of them quoted because the "
        "passages do not have what the model wrote",
        style="dim",
        soft_wrap=True,
    )


def consulted_json(conversation: "Conversation") -> dict[str, Any]:
    """The sources of the last answer, for JSON; {} without a knowledge base."""
    from xinye.jobs.composing import Consultation

    if isinstance(conversation, Consultation):
        return composed_json(conversation.composed)
    return {}


def composed_json(composed: "Composed") -> dict[str, Any]:
    """The sources of an answer, for JSON."""
    return {
        "refused": composed.refused,
        "citations": [asdict(each) for each in composed.citations],
        "fallen_back": composed.fallen_back,
        "unsupported": list(composed.unsupported),
        "left_out": composed.left_out,
        "usage": {
            "prompt_tokens": composed.prompt_tokens,
            "completion_tokens": composed.completion_tokens,
        },
    }
