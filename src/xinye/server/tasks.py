"""The route `/v1/tasks/{task}`, for the task that a model was trained for."""

import asyncio
import re
from copy import copy
from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from xinye.data.records import Row
from xinye.errors import XinyeError, checked
from xinye.generation.sampling import ChatSampling
from xinye.generation.sequence import Sequence as TextSequence
from xinye.jobs.judge import check_inputs
from xinye.planning.writing_settings import WritingSettings
from xinye.server.bodies import JSONRoute, json_response, log_texts
from xinye.server.errors import APIError, as_api_error, check_count
from xinye.server.models import ServedModel, check_choices, find_model, token_limit
from xinye.server.schemas import TaskAnswer, TaskRequest
from xinye.server.worker import Job
from xinye.tasks.language_task import LanguageTask
from xinye.tasks.registry import TASKS, find_text_task, found
from xinye.tasks.task import Task
from xinye.tasks.text_to_text import TextToText, Work
from xinye.tasks.writing import Writing

router = APIRouter(route_class=JSONRoute)
BATCH = 8  # texts in one batch
CONTEXTS = 4  # how many contexts long a text may be; the task cuts it
ROUNDS = 64  # how many rounds of texts a request may need


@router.post("/v1/tasks/{task}", response_model=TaskAnswer)
async def do_task(task: str, body: TaskRequest, request: Request) -> Any:
    """Use a model for the task that it was trained for, on one text or several."""
    if task not in TASKS:
        raise APIError(
            404,
            f"the tasks are {', '.join(TASKS)}; to generate text, use /v1/completions",
            "task",
            "not_found",
        )
    model = find_model(request, body.model, task)
    given = [body.input] if isinstance(body.input, str) else body.input
    texts = [text if isinstance(text, str) else tuple(text) for text in given]
    if not TASKS[task].takes_pairs and not all(isinstance(text, str) for text in texts):
        raise APIError(400, f"input: {task} takes single texts, not pairs", "input")
    learned = model.model.task
    if learned is None or learned.verb != task:  # any model with a chat template can chat
        learned = find_text_task(task).of_network(model.model.network)
    settings = settings_of(task, body.settings)
    if isinstance(learned, TextToText):
        results = await write_texts(request, model, learned, texts, settings)
    elif isinstance(learned, Writing):
        results = await write(request, model, learned, texts)
    else:
        results = await judge(request, model, learned, texts, settings)
    log_texts(request, body, map(str, results))
    return json_response(TaskAnswer(object="list", model=model.id, task=task, data=results))


def settings_of(task: str, given: dict[str, Any]) -> Any:
    """The settings of a request for a task, None if the task has none. Raises `APIError` for
    settings that the task does not know, or that name files of the server."""
    entry = TASKS[task]
    if not entry.settings:
        if given:
            raise APIError(400, f"settings: {task} has none; leave them out", "settings")
        return None
    kind = found(entry.settings)
    if local := [name for name in kind.of_this_machine if name in given]:
        raise APIError(400, f"settings: {local[0]} names a file; the server reads none", "settings")
    try:
        return checked(kind, given, task)
    except XinyeError as error:
        raise as_api_error(error, "settings") from None


async def judge(
    request: Request, model: ServedModel, task: Task, texts: list[Any], settings: Any
) -> list[Any]:
    """The results of the network for each text or pair of texts."""
    state = request.app.state
    check_count(len(texts), state.settings.max_inputs, "input")
    try:
        check_inputs(model.model.folder, texts)
    except XinyeError as error:
        raise as_api_error(error, "input") from None
    for text in texts:
        model.check_length([text] if isinstance(text, str) else text, "input", CONTEXTS)
    use = partial(
        task.use, model.model.network, model.tokenizer, context=model.context, settings=settings
    )
    # a language model reads a text many times; other requests have their turn after each
    batch = 1 if isinstance(task, LanguageTask) else BATCH
    return await state.worker.work(request, texts, use, batch)


async def write_texts(
    request: Request, model: ServedModel, task: TextToText, texts: list[Any], settings: Any
) -> list[Any]:
    """What the model writes for each text. The number of texts and of candidates is limited; what
    they need beyond that is written in rounds, between which other requests have their turn."""
    state = request.app.state
    most = state.settings.max_choices
    check_count(len(texts), most, "input")
    check_count(settings.candidates or 1, most, "settings", "candidates")
    candidates = settings.candidates or min(task.candidates, most)
    limit = min(state.settings.max_tokens, task.most_tokens(settings))
    settings = settings.model_copy(update={"candidates": candidates, "max_tokens": limit})
    for text in texts:
        model.check_length([text], "input", CONTEXTS)

    def begin() -> list[Work]:
        works: list[Work] = []
        limited, parts = copy(task), ROUNDS * most // candidates
        for text in texts:
            limited.most_parts = parts - sum(len(work.windows) for work in works)
            source = limited.source_of(text)
            works.append(limited.begin(model.tokenizer, source, model.context, settings))
        return works

    def end(some: list[Work]) -> list[Row | Work]:
        return [task.end(model.model.gpt, model.tokenizer, work) for work in some]

    async def finished(works: list[Work]) -> list[Row]:
        sequences = [each for work in works for each in work.sequences]
        size = min(most, state.settings.max_running)
        for first in range(0, len(sequences), size):
            await Job(request, model, sequences[first : first + size]).finish()
        found = await state.worker.work(request, works, end, 1)  # it may take as long as a text
        left = [each for each in found if isinstance(each, Work)]
        rows = iter(await finished(left) if left else ())
        return [next(rows) if isinstance(each, Work) else each for each in found]

    try:
        works = await asyncio.to_thread(begin)
    except XinyeError as error:
        refused = as_api_error(error, "input")
        refused.detail = in_request(refused.detail, settings)
        raise refused from None
    results = [task.told(row) for row in await finished(works)]
    for told in results:
        told["notes"] = [in_request(note, settings) for note in told["notes"]]
    return results


def in_request(message: str, settings: WritingSettings) -> str:
    """A message that names options of the command, such as `--to en`, for a request, where they are
    settings: `settings.to en`."""
    for name in type(settings).model_fields.keys() - set(settings.of_this_machine):
        message = re.sub(rf"--{name.replace('_', '-')}\b", f"settings.{name}", message)
    return message


async def write(request: Request, model: ServedModel, task: Task, texts: list[Any]) -> list[Any]:
    """The greedy answer to each text, as the task's result."""
    check_choices(request, len(texts), "input")
    sequences = []
    for text in texts:
        tokens = await model.encode_messages(task.asked(text), "input")
        limit = token_limit(request, model, len(tokens), None, "input", "input")
        limit = min(limit, ChatSampling().max_tokens)
        sampling = ChatSampling(max_tokens=limit, temperature=0)
        sequences.append(TextSequence(tokens, len(tokens), sampling))
    await Job(request, model, sequences).finish()
    return [task.answered(each) for each in sequences]
