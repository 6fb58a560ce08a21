"""`xinye chat --knowledge`: what is printed around an answer from a knowledge base."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from xinye.cli.knowledge import place_of, source_of
from xinye.cli.output import answer, console, verbatim
from xinye.errors import plural

if TYPE_CHECKING:  # it brings torch
    from xinye.generation.chat import Conversation
    from xinye.jobs.composing import Composed


def composed_by(conversation: "Conversation") -> "Composed | None":
    """The last answer of a conversation with a knowledge base; None for any other conversation."""
    from xinye.jobs.composing import Consultation

    return conversation.composed if isinstance(conversation, Consultation) else None


def show_sources(conversation: "Conversation") -> None:
    """Print the passages that the last answer cites, and why it is a quotation if it is one."""
    composed = composed_by(conversation)
    if composed is None:
        return
    if not composed.text:
        console.print("no passage has a word of the question")
    for each in composed.citations:
        source = source_of(each.source)
        told = [f"[{each.number}]", source, place_of(each.source) if each.source.file else ""]
        answer.print(verbatim(f"  {' '.join(filter(None, told))}", "dim"), soft_wrap=True)
    if composed.fallen_back:
        if composed.unsupported:
            words = ", ".join(map(repr, composed.unsupported))
            why = f"the model wrote what no passage has: {words}"
        else:
            why = "the model wrote nothing"
        console.print(f"quoted from the passage, because {why}", style="dim", soft_wrap=True)
    if composed.left_out:
        console.print(
            f"{plural(composed.left_out, 'passage')} did not fit into the context", style="dim"
        )


def show_share(conversation: "Conversation") -> None:
    """Print how many answers of a conversation with a knowledge base are quotations."""
    from xinye.jobs.composing import Consultation

    if isinstance(conversation, Consultation) and conversation.answers:
        share = conversation.fallen_back / conversation.answers
        console.print(
            f"{plural(conversation.answers, 'answer')}, {share:.0%} of them quoted because the "
            "passages do not have what the model wrote",
            style="dim",
            soft_wrap=True,
        )


def consulted_json(conversation: "Conversation") -> dict[str, Any]:
    """The sources of the last answer, for JSON; {} without a knowledge base."""
    composed = composed_by(conversation)
    if composed is None:
        return {}
    return {
        "citations": [asdict(each) for each in composed.citations],
        "fallen_back": composed.fallen_back,
        "unsupported": list(composed.unsupported),
        "left_out": composed.left_out,
        "usage": {
            "prompt_tokens": composed.prompt_tokens,
            "completion_tokens": composed.completion_tokens,
        },
    }
