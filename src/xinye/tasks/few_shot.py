"""Tasks that write, done by a language model that was not fine-tuned for them: by instruction if it
can chat, and with examples before each text (in-context learning, Brown et al. 2020,
arXiv:2005.14165)."""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from xinye.data.notes import Notes
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, plural
from xinye.model.gpt import GPT
from xinye.planning.writing_settings import WritingSettings
from xinye.runs.taught import can_chat
from xinye.tasks.task import Judged, Task
from xinye.tasks.text_to_text import TextToText

MOST_EXAMPLES = 16
CHAT = "chat"  # the task of models that follow instructions


class Shown(NamedTuple):
    """A task that shows examples to a model, all records from which they were chosen, and notes on
    how the model is asked."""

    task: TextToText
    records: Sequence[Any]
    notes: list[str]


def is_shown(learned: Task | None, kind: type[Task]) -> bool:
    """Whether a model does a task by instruction or examples: a base or a chat model, if the task
    writes."""
    return issubclass(kind, TextToText) and (learned is None or learned.verb == CHAT)


def shown_task(
    judged: Judged, kind: type[TextToText], settings: WritingSettings, **columns: Any
) -> Shown:
    """The task with the examples of the settings, as many as fit into half of what the answer
    leaves of the context. `columns` are those of the files with examples. Raises `XinyeError` for a
    model that can neither chat nor is given examples."""
    model, tokenizer = judged.model, judged.tokenizer
    if not isinstance(model, GPT):
        raise XinyeError(f"{judged.folder}: this model does not write texts; use a language model")
    plain = not can_chat(judged.folder, tokenizer.chat_template)
    read = Notes()
    found = kind.read(settings.examples, notes=read, **columns) if settings.examples else []
    records = kind.examples_for(found, settings)
    if found and not records:
        raise XinyeError(f"{', '.join(settings.examples)}: no example shows what is asked for")
    if plain and not records:
        raise XinyeError(
            f"{judged.folder}: this model was not trained to {kind.verb}; fine-tune it with "
            f"xinye finetune --task {kind.verb}, or show it examples with --examples FILE"
        )
    context = model.config.max_position_embeddings
    room = (context - kind().room_for_answer(context, settings)) // 2
    fit = [
        fitting(kind, tokenizer, kind.examples_for(records, asked), plain, room, asked)
        for asked in kind.ways(records, settings)
    ]
    if records and not any(fit):
        raise XinyeError(
            f"{', '.join(settings.examples)}: no example fits into {room:,} tokens, which the text "
            f"and its answer leave of the model's context of {context:,}; give shorter ones"
        )
    notes = ["the model was not fine-tuned for this task", *read.sentences()]
    if records:
        counts = sorted({len(each) for each in fit})
        few = "–".join(str(count) for count in (counts[0], counts[-1])[-len(counts) :])
        notes.append(f"examples before each text: {few} of {plural(len(records), 'example')}")
    shown = [record for each in fit for record in each]
    return Shown(kind().showing(shown, plain), records, notes)


def fitting(
    kind: type[TextToText],
    tokenizer: Tokenizer,
    records: Sequence[Any],
    plain: bool,
    room: int,
    settings: WritingSettings,
) -> list[Any]:
    """Records in random order, as many as fit into `room` tokens."""
    shuffled = random.Random(settings.seed).sample(list(records), len(records))
    shown: list[Any] = []
    for record in shuffled[: 4 * MOST_EXAMPLES]:
        more = [*shown, record]
        task = kind().showing(more, plain)
        if len(task.encode(tokenizer, "", settings)) <= room:
            shown = more
        if len(shown) == MOST_EXAMPLES:
            break
    return shown
