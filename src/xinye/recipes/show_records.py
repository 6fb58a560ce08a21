"""Records as a model will see them: each token, with whether it is trained, or its label."""

from collections.abc import Sequence
from typing import Any

from xinye.checkpoints.load import load_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.heads import IGNORED
from xinye.recipes.finetune_settings import FinetuneSettings
from xinye.recipes.task_data import TASKS, read_records
from xinye.tasks.chat import Chat

CONTEXT = 2048  # tokens, where no model says how many it reads
LEARNED_FROM = 1000  # records that characters are taken from, where no model brings its tokens


def show_records(task: str, files: Sequence[str], model: str | None = None, count: int = 3) -> dict[str, Any]:
    """`files` (format and records of each), `findings`, and of the first records the `tokens`, as (text, trained or
    label), with the label of the whole. Without a model every character is a token."""
    if task not in TASKS:
        raise XinyeError(f"--task {task}: choose one of {', '.join(TASKS)}")
    settings = FinetuneSettings(task=task)
    by_file = {str(file): read_records(settings, [str(file)]) for file in files}
    records = [record for found in by_file.values() for record in found]
    learned = TASKS[task].of(records)
    context = CONTEXT
    if model:
        network, tokenizer = load_model(model)
        context = network.config.max_position_embeddings
    else:
        tokenizer = Tokenizer.train([record.whole for record in records[:LEARNED_FROM]], kind="char")
    tokenizer = learned.tokenizer(tokenizer)
    shown = []
    for record in records[:count]:
        for example in learned.examples(tokenizer, [record], context):
            shown.append({"place": record.place, "cut": example.cut, **_tokens(learned, tokenizer, example)})
    kinds = {name: sorted({getattr(record, "format", task) for record in found}) for name, found in by_file.items()}
    return {
        "task": task,
        "files": [{"file": name, "format": ", ".join(kinds[name]), "records": len(by_file[name])} for name in by_file],
        "counts": learned.counts(records),
        "findings": learned.findings(records, []),
        "shown": shown,
    }


def _tokens(learned: Any, tokenizer: Tokenizer, example: Any) -> dict[str, Any]:
    texts = [_text(tokenizer, token) for token in example.tokens]
    targets = example.targets
    if isinstance(learned, Chat):  # a target stands one token before the token that it asks for
        last = next(target for target in reversed(targets) if target != IGNORED)
        trained = [False, *(target != IGNORED for target in targets)]
        return {"label": None, "tokens": list(zip([*texts, _text(tokenizer, last)], trained, strict=True))}
    if isinstance(targets, int):
        return {"label": learned.labels[targets], "tokens": [(text, None) for text in texts]}
    if targets and isinstance(targets[0], float):
        labels = [label for label, target in zip(learned.labels, targets, strict=True) if target]
        return {"label": ", ".join(labels), "tokens": [(text, None) for text in texts]}
    names = [None if target == IGNORED else learned.labels[target] for target in targets]
    return {"label": None, "tokens": list(zip(texts, names, strict=True))}


def _text(tokenizer: Tokenizer, token: int) -> str:
    return tokenizer.decode([token]) or tokenizer.backend.id_to_token(token) or ""
