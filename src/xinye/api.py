"""The Python face of Xinye: the same words as on the command line."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from xinye import machine
from xinye.checkpoints.bases import based_on
from xinye.checkpoints.load import began_with, load_any
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked, did_you_mean, one_line, quoted
from xinye.generation import sequence
from xinye.generation.chat import Message, start_answer
from xinye.generation.engine import Engine, start
from xinye.generation.sampling import ChatSampling, Sampling
from xinye.generation.speculation import speculate
from xinye.jobs import evaluate, judge
from xinye.jobs.evaluate import Evaluation
from xinye.jobs.write_prompts import write_prompts
from xinye.model.build import LanguageModel
from xinye.model.heads import Head, HeadConfig
from xinye.observer import Observer
from xinye.planning.job_settings import EvaluateSettings
from xinye.planning.settings import PretrainSettings
from xinye.tasks.registry import TASKS, find_task, verbs_of_tasks
from xinye.tasks.task import Judged, Task, task_settings
from xinye.training import train
from xinye.training.display import Display
from xinye.training.job import Run

__all__ = ["Evaluation", "Model", "Run", "finetune", "load", "pretrain"]

Files = str | Path | Sequence[str | Path]  # one, or several


class Model:
    """A loaded model: its network (`gpt`), its `tokenizer`, and the `folder` it was loaded from."""

    def __init__(self, gpt: LanguageModel | Head, tokenizer: Tokenizer, folder: Path) -> None:
        self.network, self.tokenizer, self.folder = gpt.to(machine.device()), tokenizer, folder
        # next tokens are guessed where that makes writing faster (generation/speculation.py),
        self.speculates = True
        self.draft: Model | None = None  # from the text itself, or by this smaller model

    def __repr__(self) -> str:
        """What it is, in a line."""
        config = self.network.config
        backbone = config.backbone if isinstance(config, HeadConfig) else config
        parts = [
            f"{backbone.architecture}, {config.parameters:,} parameters, vocabulary "
            f"{backbone.vocab_size:,}, context {backbone.max_position_embeddings:,}"
        ]
        if isinstance(config, HeadConfig):
            some = ", ".join(config.labels[:8]) + (" …" if len(config.labels) > 8 else "")
            assert self.task is not None  # a head belongs to one
            parts.append(f"can {self.task.verb}: {some}")
        return one_line(f"<Model {self.folder}: {'; '.join(parts)}>")

    @property
    def gpt(self) -> LanguageModel:
        """The network, where it writes. Raises `XinyeError` where it judges instead."""
        if isinstance(self.network, Head):
            assert self.task is not None
            verb = self.task.verb
            raise XinyeError(
                f"{self.folder}: this model was trained to {verb}, not to write. Use it: "
                f"xinye {verb} {quoted(self.folder)} …; the model it was trained from can write: "
                f"{began_with(self.folder)}"
            )
        return self.network

    @cached_property
    def task(self) -> Task | None:
        """The task it has learned, if any."""
        return judge.learned_task(self.network, self.folder)

    @cached_property
    def engine(self) -> Engine:
        """What writes all its texts. Its cache keeps what was read, so that a chat's next turn
        reads only what is new.

        Weights that are changed want a new one: `del model.engine`.
        """
        engine = Engine(self.gpt, self.tokenizer)
        if self.draft is not None:
            speculate(engine, self.draft.gpt, self.draft.tokenizer)
        elif self.speculates:
            speculate(engine)
        return engine

    @property
    def learned_task(self) -> bool:
        """Whether it judges texts instead of writing them."""
        return isinstance(self.network, Head)

    def generate(self, prompt: str = "", *, n: int = 1, **sampling: Any) -> list[str]:
        """Write `n` texts that go on from the prompt; returns the new text of each, without the
        prompt.

        Takes `max_tokens` (200), `temperature` (0.8; 0 is greedy), `top_k`, `top_p`, `min_p`,
        `repetition_penalty`, `stop` (a tuple of strings to end before), `seed` (the same seed gives
        the same texts) and whatever else `Sampling` has. Raises `XinyeError` for a prompt longer
        than the context and for values out of range.

        >>> model.generate("话说", max_tokens=50, temperature=0.7, n=3)  # doctest: +SKIP
        """
        return [text.text for text in self.complete([prompt] * n, **sampling)]

    def stream(self, prompt: str = "", **sampling: Any) -> Iterator[str]:
        """One text, piece by piece as it is written; the pieces joined are the whole text."""
        begun = start(
            self.tokenizer, prompt, self.engine.context, checked(Sampling, sampling, "generate")
        )
        return (piece for _, piece in self.engine.generate([begun]))

    def complete(self, prompts: Sequence[str], **sampling: Any) -> list[sequence.Sequence]:
        """A text that goes on from each prompt, all written at once, with why each ended, its
        number of tokens, and what `logprobs` asked for."""
        settings, context = checked(Sampling, sampling, "generate"), self.engine.context
        texts = [
            start(self.tokenizer, prompt, context, settings, number)
            for number, prompt in enumerate(prompts)
        ]
        for _ in self.engine.generate(texts):
            pass
        return texts

    def generate_file(
        self,
        prompts: str | Path,
        output: str | Path,
        *,
        n: int = 1,
        observer: Observer | None = None,
        **sampling: Any,
    ) -> dict[str, Any]:
        """Write `n` texts for each line of a file of prompts to another file, and tell how it went.

        A line is `{"prompt": …}` or `{"messages": […]}`, with `id`, `n` and sampling of its own
        where it has them; the output has a line for each, in the order in which they were done.
        Called again, it does only what is missing.

        >>> told = model.generate_file("prompts.jsonl", "texts.jsonl")  # doctest: +SKIP
        >>> told["tokens_per_second"]  # doctest: +SKIP
        """
        checked(Sampling, sampling, "generate")
        return write_prompts(
            self.engine, Path(prompts), Path(output), n, sampling, observer or Observer()
        )

    def chat(self, messages: Sequence[Message], **sampling: Any) -> str:
        """The answer to the last of the messages, by the model's own chat template; sampling as in
        `generate`.

        Where the messages fill the context, the oldest turns are left out. Raises `XinyeError` for
        a model without a chat template, and for what are no messages.

        >>> model.chat([{"role": "user", "content": "你好"}], temperature=0.7)  # doctest: +SKIP
        """
        return "".join(self.stream_chat(messages, **sampling))

    def stream_chat(self, messages: Sequence[Message], **sampling: Any) -> Iterator[str]:
        """The same answer, piece by piece as it is written."""
        settings = checked(ChatSampling, sampling, "chat")
        reply, _ = start_answer(self.tokenizer, messages, self.engine.context, settings)
        return (piece for _, piece in self.engine.generate([reply]))

    def evaluate(
        self,
        files: Files = (),
        *,
        text: str | Sequence[str] = (),
        observer: Observer | None = None,
        **settings: Any,
    ) -> Evaluation:
        """How well the model predicts a text, beside gzip, xz and a 5-gram model on the same text.

        The text is in `files`, or given as `text` (a document, or several); without both it is what
        a run held back of its own. `settings` are those of `xinye evaluate --help`: `context`,
        `stride`, `by_position`, `rope_scaling` … Raises `XinyeError` for whatever a person can put
        right.

        >>> model.evaluate(text="话说天下大势，分久必合。").bits_per_byte  # doctest: +SKIP
        """
        paths = _names(files)
        texts = [text] if isinstance(text, str) else text
        checked_settings = checked(EvaluateSettings, settings, "evaluate")
        if not paths and not texts and self.task and self.task.writes:
            raise XinyeError(
                f"{self.folder}: give {self.task.records_name} to evaluate it on: xinye evaluate "
                f"{quoted(self.folder)} --data FILE; or a text: xinye evaluate "
                f"{quoted(self.folder)} FILE"
            )
        judged = Judged(self.gpt, self.tokenizer, self.folder, observer or Observer())
        return evaluate.evaluate(judged, paths, texts, checked_settings)

    def use(
        self, verb: str, texts: Any, *, observer: Observer | None = None, **settings: Any
    ) -> Any:
        """What it says of a text, or of each of a list, by the task that it has learned and that
        has this verb. Each verb is a method, too: `model.tag(texts)`.

        A tuple is a pair of texts, where the task takes pairs. `classify` gives the `label`, its
        `probability` and the `probabilities` of all labels; where a text may have several labels,
        `labels`, a list. `tag` gives spans: `start`, `end` (behind the last character), `type`,
        `text` and `probability`.

        A model that has learned no task can be asked by those that take settings for it: `classify`
        with `labels` (a list) or `examples` (a file of records, or a list of texts with their
        labels), and further settings of `xinye classify --help`: `prompt`, `seed` … Raises
        `XinyeError` for a model that cannot do it.

        >>> model.tag("沈知秋认为")  # doctest: +SKIP
        >>> model.classify("送得快，汤还是热的")["label"]  # doctest: +SKIP
        >>> base.classify("送得快，汤还是热的", labels=["正面", "负面"])["label"]  # doctest: +SKIP
        """
        kind = find_task(verb)
        one = isinstance(texts, str) or (isinstance(texts, tuple) and TASKS[verb].takes_pairs)
        inputs = [texts] if one else list(texts)
        judged = Judged(self.network, self.tokenizer, self.folder, observer or Observer())
        if settings and TASKS[verb].asked_with and not isinstance(self.network, Head):
            results = TASKS[verb].untaught.use(judged, inputs, **settings)
        else:
            results = judge.use(self._learned(kind, settings), judged, inputs)
        return results[0] if one else results

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        """`use` by the name of a task: `model.tag(texts)` is `model.use("tag", texts)`."""
        if verb in verbs_of_tasks():
            return partial(self.use, verb)
        raise AttributeError(f"a model has no attribute {verb!r}", name=verb, obj=self)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *verbs_of_tasks()]

    def evaluate_task(
        self,
        data: Files,
        *,
        task: str | None = None,
        baseline: bool = True,
        observer: Observer | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        """How right the model is on files of records, beside the baseline that learns from the
        run's own records.

        A model that has learned no task is asked for the records' labels, or those of the settings,
        as in `classify`; or with `task="chat"` it answers, by its own chat template. Settings name
        columns, too.
        """
        files = _names(data)
        if not files:
            raise XinyeError(
                f"{self.folder}: give records to evaluate it on: xinye evaluate "
                f"{quoted(self.folder)} --data FILE"
            )
        judged = Judged(self.network, self.tokenizer, self.folder, observer or Observer(), baseline)
        return judge.evaluate(judged, files, task, **settings)

    def _learned(self, kind: type[Task], settings: dict[str, Any]) -> Task:
        """The task that it has learned, where it is of this kind."""
        learned = self.task
        if learned:
            judge.refuse_settings(learned, self.folder, settings)
        if learned and learned.verb == kind.verb:
            return learned
        taught = isinstance(self.network, Head)  # which cannot learn another task
        base = began_with(self.folder) if taught else str(self.folder)
        command = f"xinye finetune {quoted(base)} --task {kind.verb} --data FILE -o RUN"
        ask = f"or use {base} without training, with --labels a,b"
        ask = f"; {ask}" if TASKS[kind.verb].asked_with else ""
        problem = f"this model was not trained to {kind.verb}; fine-tune {base}: {command}"
        raise XinyeError(f"{self.folder}: {problem}{ask}")


def load(
    model: str | Path,
    dtype: str = "auto",
    speculation: str | Path = "auto",
    base: str | Path | None = None,
) -> Model:
    """The model of a run's folder, of any that Hugging Face tools wrote for GPT-2, Llama, Mistral,
    Qwen2 or Qwen3, of a GGUF file, or of a hub name that `xinye download` has fetched.
    `base` is where the base of an adapter lies, if it was moved.

    Its weights are kept, and computed with, in `dtype`: float32, or bfloat16, which takes half the
    memory and writes almost twice as fast; "auto" is bfloat16 where the hardware multiplies it.
    What is quantized stays so.
    `speculation` says how next tokens are guessed, which changes the speed and not the texts:
    "auto" looks them up in the text where that is faster, "off" never, and a small model with the
    same tokenizer guesses itself.
    Raises `XinyeError` where there is no such model, or it is damaged or of another kind."""
    dtypes = {"auto": machine.fast_dtype(machine.device())[0]}
    dtypes |= {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if dtype not in dtypes:
        known = f"{', '.join(dtypes)}{did_you_mean(dtype, dtypes)}"
        raise XinyeError(f"dtype is {dtype!r}; it must be one of {known}")
    with based_on(base):
        network, tokenizer = load_any(model, dtypes[dtype])
    loaded = Model(network, tokenizer, Path(model))
    if not loaded.learned_task:
        network.compute_dtype = dtypes[dtype]
    loaded.speculates = speculation != "off"
    if speculation not in ("auto", "off"):
        loaded.draft = load(speculation, dtype, "off")
    return loaded


def pretrain(
    files: Files = (),
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    observer: Observer | None = None,
    **settings: Any,
) -> Run:
    """Train a GPT on files, folders or globs of text; returns the run's folder and figures.

    The plan, progress and samples are shown as on the command line, in a notebook, too, unless
    `progress` is false; a `observer` is told of all that instead.

    `settings` are those of `xinye pretrain --help` by the same names: `size="5M"`, one of
    `time="10min"`, `tokens="20M"`, `epochs=3`, `steps=500`, and all that is otherwise derived;
    `from_="runs/novel"` goes on training that model, `teacher="runs/large"` learns from that one's
    predictions, too. Without `output` the run lies in `runs/` under the first file's name; `resume`
    goes on with the run that lies there, for longer where a longer budget is given. Raises
    `XinyeError` for whatever a person can put right.

    >>> run = xinye.pretrain("novel.txt", size="1M", time="2min")  # doctest: +SKIP
    >>> run.validation["bits_per_byte"]  # doctest: +SKIP
    """
    values = {**settings, "files": _names(files), "output": output}
    checked_settings = checked(PretrainSettings, values, "pretrain")
    with _watched(observer, progress) as watching:
        run = train.pretrain(checked_settings, watching, overwrite, resume)
    if run is None:
        raise XinyeError("nothing was trained")
    return run


def finetune(  # noqa: PLR0913 (the face of a verb: its names are its flags)
    model: "str | Path | Model" = "",
    output: str | Path | None = None,
    *,
    data: Files = (),
    task: str = "",
    validation: Files = (),
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    observer: Observer | None = None,
    **settings: Any,
) -> Model:
    """Teach a model a task, `classify` if none is named, from files of records; returns the model
    that has learned it. What it was measured to be stands in `training/result.json` of its run.

    `settings` are those of `xinye finetune --help` by the same names. Progress is shown as in
    `pretrain`, and `resume` goes on as there with the run in `output`, which knows the rest. Raises
    `XinyeError` for whatever a person can put right.

    >>> reviews = xinye.finetune("runs/novel", "runs/it", data="reviews.csv")  # doctest: +SKIP
    >>> reviews = xinye.finetune(output="runs/it", resume=True, epochs=8)  # doctest: +SKIP
    """
    values = {
        "model": str(model.folder if isinstance(model, Model) else model),
        "output": output,
        "task": task,
        "data": _names(data),
        "validation": _names(validation),
    }
    given = settings | {name: value for name, value in values.items() if value}
    if not resume and not {"model", "data"} <= given.keys():
        raise XinyeError("finetune: name the model to begin with, and the records: data=FILE")
    checked_settings = task_settings(given, "finetune")
    with _watched(observer, progress, find_task(checked_settings.task).words.unit) as watching:
        run = train.finetune(checked_settings, watching, overwrite, resume)
    return load(run.run)


def _names(files: Files) -> tuple[str, ...]:
    return tuple(str(file) for file in ([files] if isinstance(files, str | Path) else files))


@contextmanager
def _watched(
    observer: Observer | None, progress: bool, counted: str = "tokens"
) -> Iterator[Observer]:
    """Who is told of the training inside: the observer that was given, or a display, or nobody."""
    if observer is not None or not progress:
        yield observer or Observer()
        return
    with Display(counted=counted) as display:
        yield display
