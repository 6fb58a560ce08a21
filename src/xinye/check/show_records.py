"""Records as a model will see them: each token, with whether it is trained, or its label."""

from collections.abc import Iterator, Sequence
from typing import Any

from xinye.checkpoints.load import load_model
from xinye.data.tokenizer import Tokenizer
from xinye.model.heads import IGNORED
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.tasks.chat import Chat
from xinye.tasks.task_data import TASKS, Task, format_of, read_records

CONTEXT = 2048  # tokens, where no model says how many it reads
LEARNED_FROM = 1000  # records that characters are taken from, where no model brings its tokens

Mark = (
    bool | str | None
)  # trained or not, or a token's label; None where the label is that of the whole


def show_records(
    settings: FinetuneSettings, files: Sequence[str], model: str | None = None, count: int = 3
) -> dict[str, Any]:
    """`files` (format and records of each), and of the first records in `shown` the `tokens`, as (text, mark), with the
    `label` of the whole. Without a model every character is a token."""
    by_file = {file: read_records(settings, [file]) for file in files}
    records = [record for found in by_file.values() for record in found]
    task: Task = TASKS[settings.task].of(records)
    context = CONTEXT
    if model:
        network, tokenizer = load_model(model)
        context = network.config.max_position_embeddings
    else:
        tokenizer = characters(records)
    tokenizer = task.tokenizer(tokenizer)
    shown = []
    for record in records[:count]:
        for example in task.examples(tokenizer, [record], context):
            label, marked = marked_tokens(task, tokenizer, example)
            tokens = [(text_of(tokenizer, token), mark) for token, mark in marked]
            shown.append(
                {"place": record.place, "cut": example.cut, "label": label, "tokens": tokens}
            )
    return {
        "task": settings.task,
        "files": [
            {"file": name, "format": format_of(found), "records": len(found)}
            for name, found in by_file.items()
        ],
        "shown": shown,
    }


def characters(records: Sequence[Any]) -> Tokenizer:
    """The tokens of records where no model brings any."""
    return Tokenizer.train([record.whole for record in records[:LEARNED_FROM]], kind="char")


def marked_tokens(
    task: Task, tokenizer: Tokenizer, example: Any
) -> tuple[str | None, list[tuple[int, Mark]]]:
    """The label of the whole, if it has one, and each token with its mark."""
    targets, tokens = example.targets, example.tokens
    if isinstance(task, Chat):  # a target stands one token before the token that it asks for
        last = next(target for target in reversed(targets) if target != IGNORED)
        trained = [False, *(target != IGNORED for target in targets)]
        return None, list(zip([*tokens, last], trained, strict=True))
    if isinstance(targets, int):
        return task.labels[targets], [(token, None) for token in tokens]
    if targets and isinstance(targets[0], float):
        labels = [label for label, target in zip(task.labels, targets, strict=True) if target]
        return ", ".join(labels), [(token, None) for token in tokens]
    names = [None if target == IGNORED else task.labels[target] for target in targets]
    return None, list(zip(tokens, names, strict=True))


def stretches(
    tokenizer: Tokenizer, marked: Sequence[tuple[int, Mark]]
) -> Iterator[tuple[str, Mark]]:
    """The tokens as text, those of one mark together; of a span its type. Special tokens stand alone."""
    tokens: list[int] = []
    open_kind: Mark = None

    def closed() -> Iterator[tuple[str, Mark]]:
        if tokens:
            yield tokenizer.decode(tokens) or text_of(tokenizer, tokens[0]), open_kind

    marks = [mark for _, mark in marked]
    for at in reversed(range(len(marks) - 1)):  # a space inside a span stands for nothing by itself
        following = marks[at + 1]
        if marks[at] is None and isinstance(following, str) and following.startswith("I-"):
            marks[at] = following
    for (token, _), mark in zip(marked, marks, strict=True):
        kind = (None if mark == "O" else mark[2:]) if isinstance(mark, str) else mark
        special = not tokenizer.decode([token]) or (
            len(tokens) == 1 and not tokenizer.decode(tokens)
        )
        if special or kind != open_kind or (isinstance(mark, str) and mark.startswith("B-")):
            yield from closed()
            tokens, open_kind = [], kind
        tokens.append(token)
    yield from closed()


def text_of(tokenizer: Tokenizer, token: int) -> str:
    return tokenizer.decode([token]) or tokenizer.backend.id_to_token(token) or ""
