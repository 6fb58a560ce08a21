"""A loaded model and its verbs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, overload

from xinye import machine
from xinye.checkpoints.load import began_with
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked, one_line, quoted
from xinye.generation import sequence
from xinye.generation.chat import Message, check_messages, start_answer
from xinye.generation.engine import Engine, start
from xinye.generation.sampling import ChatSampling, Sampling
from xinye.generation.speculation import speculate
from xinye.jobs import answering, evaluate, explain, judge, task_evaluation
from xinye.jobs.answering import Answered, Knowledge
from xinye.jobs.evaluate import Evaluation
from xinye.jobs.graph_answers import GraphAnswer, answer_from_graph
from xinye.jobs.write_prompts import write_prompts
from xinye.model.build import LanguageModel
from xinye.model.heads import Head, HeadConfig
from xinye.observer import Observer
from xinye.planning.job_settings import EvaluateSettings
from xinye.planning.writing_settings import UseSettings, WritingSettings
from xinye.retrieval.graph import Graph
from xinye.tasks.few_shot import shown_task
from xinye.tasks.registry import TASKS, find_text_task, found, verbs_of_tasks
from xinye.tasks.task import Judged, Task
from xinye.tasks.text_to_text import TextToText

Files = str | Path | Sequence[str | Path]  # one path, or several


class Model:
    """A loaded model: its `network` and `tokenizer`, and the `folder` it was loaded from."""

    def __init__(self, gpt: LanguageModel | Head, tokenizer: Tokenizer, folder: Path) -> None:
        self.network, self.tokenizer, self.folder = gpt.to(machine.device()), tokenizer, folder
        # Whether generation may guess tokens ahead to be faster (generation/speculation.py).
        self.speculates = True
        self.draft: Model | None = None  # the smaller model that guesses; None: the text so far

    def __repr__(self) -> str:
        """The model in one line: folder, architecture, sizes and, for a classifier, its labels."""
        config = self.network.config
        backbone = config.backbone if isinstance(config, HeadConfig) else config
        parts = [
            f"{backbone.architecture}, {config.parameters:,} parameters, vocabulary "
            f"{backbone.vocab_size:,}, context {backbone.max_position_embeddings:,}"
        ]
        if isinstance(config, HeadConfig):
            some = ", ".join(config.labels[:8]) + (" …" if len(config.labels) > 8 else "")
            assert self.task is not None  # every head belongs to a task
            parts.append(f"can {self.task.verb}: {some}")
        return one_line(f"<Model {self.folder}: {'; '.join(parts)}>")

    @property
    def gpt(self) -> LanguageModel:
        """The network of a model that generates. Raises `XinyeError` for a classifier or tagger."""
        if isinstance(self.network, Head):
            assert self.task is not None
            verb = self.task.verb
            raise XinyeError(
                f"{self.folder}: this model was fine-tuned to {verb} and cannot generate "
                f"text. Use xinye {verb} {quoted(self.folder)} …; to generate text, use "
                f"its base model: {began_with(self.folder)}"
            )
        return self.network

    @cached_property
    def task(self) -> Task | None:
        """The task that the model was fine-tuned for; None for a model without one."""
        return judge.learned_task(self.network, self.folder)

    @cached_property
    def engine(self) -> Engine:
        """The engine that generates all texts of this model. Its cache keeps the keys and values of
        earlier prompts, so that the next turn of a chat computes only the new tokens.

        If you change the weights, drop the engine with `del model.engine`.
        """
        return self.new_engine()

    def new_engine(self, cache_tokens: int | None = None, max_running: int = 32) -> Engine:
        """A new `Engine` for this model, which speculates as the model was loaded to do."""
        engine = Engine(self.gpt, self.tokenizer, cache_tokens, max_running)
        if self.draft is not None:
            speculate(engine, self.draft.gpt, self.draft.tokenizer)
        elif self.speculates:
            speculate(engine)
        return engine

    @property
    def learned_task(self) -> bool:
        """True if the model labels texts (it has a head) instead of generating them."""
        return isinstance(self.network, Head)

    def generate(self, prompt: str = "", *, n: int = 1, **sampling: Any) -> list[str]:
        """Generate `n` texts that continue the prompt; returns them without the prompt.

        Takes `max_tokens` (200), `temperature` (0.8; 0 is greedy), `top_k`, `top_p`, `min_p`,
        `repetition_penalty`, `stop` (a tuple of strings), `seed` (the same seed gives the same
        texts) and all other fields of `Sampling`. Raises `XinyeError` for a prompt longer than the
        context and for values out of range.

        >>> model.generate("话说", max_tokens=50, temperature=0.7, n=3)  # doctest: +SKIP
        """
        return [text.text for text in self.complete([prompt] * n, **sampling)]

    def stream(self, prompt: str = "", **sampling: Any) -> Iterator[str]:
        """Yield one text in pieces while it is generated; the joined pieces are the whole text."""
        begun = start(
            self.tokenizer, prompt, self.engine.context, checked(Sampling, sampling, "generate")
        )
        return (piece for _, piece in self.engine.generate([begun]))

    def complete(self, prompts: Sequence[str], **sampling: Any) -> list[sequence.Sequence]:
        """Continue all prompts together; returns one `Sequence` for each, with its `text`,
        `finish_reason`, `completion_tokens` and, if asked for, `logprobs`."""
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
        """Generate `n` texts for each line of the file `prompts`, write them to `output`, and
        return the counts: `done`, `texts`, `tokens`, `seconds`, `tokens_per_second`, `errors` …

        A line is `{"prompt": …}` or `{"messages": […]}` and may set its own `id`, `n` and sampling
        fields. `output` gets one JSON line for each, in the order in which they finish. A second
        call generates only the missing ones.

        >>> counts = model.generate_file("prompts.jsonl", "texts.jsonl")  # doctest: +SKIP
        >>> counts["tokens_per_second"]  # doctest: +SKIP
        """
        checked(Sampling, sampling, "generate")
        return write_prompts(
            self.engine, Path(prompts), Path(output), n, sampling, observer or Observer()
        )

    def chat(self, messages: Sequence[Message], **sampling: Any) -> str:
        """The model's answer to the last message, by its own chat template; sampling as in
        `generate`.

        If the messages do not fit the context, the oldest turns are dropped. Raises `XinyeError`
        for a model without a chat template and for malformed messages.

        >>> model.chat([{"role": "user", "content": "你好"}], temperature=0.7)  # doctest: +SKIP
        """
        return "".join(self.stream_chat(messages, **sampling))

    def stream_chat(self, messages: Sequence[Message], **sampling: Any) -> Iterator[str]:
        """Yield the answer of `chat` in pieces while it is generated."""
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
        """How well the model predicts a text, with gzip, xz and a 5-gram model as baselines.

        The text comes from `files`, or from `text` (one document, or several). Without both it is
        the validation text of the model's own run. `settings` are those of `xinye evaluate --help`:
        `context`, `stride`, `by_position`, `rope_scaling` … Raises `XinyeError` for invalid input.

        >>> model.evaluate(text="话说天下大势，分久必合。").bits_per_byte  # doctest: +SKIP
        """
        paths = names_of(files)
        texts = [text] if isinstance(text, str) else text
        checked_settings = checked(EvaluateSettings, settings, "evaluate")
        if not paths and not texts and self.task and self.task.writes:
            raise XinyeError(
                f"{self.folder}: name the data to evaluate it on: xinye evaluate "
                f"{quoted(self.folder)} --data FILE; or a text: xinye evaluate "
                f"{quoted(self.folder)} FILE"
            )
        judged = replace(self.judged(observer), model=self.gpt)
        return evaluate.evaluate(judged, paths, texts, checked_settings)

    def judged(self, observer: Observer | None = None) -> Judged:
        """The model as jobs take it, which report what they do to the observer."""
        return Judged(self.network, self.tokenizer, self.folder, observer or Observer())

    def use(
        self, verb: str, texts: Any, *, observer: Observer | None = None, **settings: Any
    ) -> Any:
        """The result of the task `verb` for a text, or a list of results for a list of texts. Each
        verb is a method, too: `model.tag(texts)`.

        A tuple is a pair of texts, for tasks that take pairs. `classify` returns a dictionary with
        `label`, its `probability` and the `probabilities` of all labels; with several labels a
        text, the list `labels`. `tag` returns spans: `start` and `end` (exclusive, in characters),
        `type`, `text` and `probability`.

        `write` takes facts, as an object or as a text with one a line; `kind` says what to write.
        Its result has `text`, `facts_used`, `missing` and `invented`.

        A model without a task can classify, too: give `labels` (a list) or `examples` (a file of
        records, or a list of texts with their labels), and further settings of `xinye classify
        --help`: `prompt`, `seed` … Raises `XinyeError` if the model cannot do the task.

        >>> model.tag("沈知秋认为")  # doctest: +SKIP
        >>> model.classify("送得快，汤还是热的")["label"]  # doctest: +SKIP
        >>> base.classify("送得快，汤还是热的", labels=["正面", "负面"])["label"]  # doctest: +SKIP
        """
        kind, entry = find_text_task(verb), TASKS[verb]
        one = isinstance(texts, str | dict) or (isinstance(texts, tuple) and entry.takes_pairs)
        if not one and not isinstance(texts, Iterable):
            raise XinyeError(f"expected a text or a list of texts, found {str(texts)[:40]}")
        inputs = [texts] if one else list(texts)
        readable = (str, tuple, list) if entry.takes_pairs else (str,)
        # a task that writes says itself what it takes, such as facts in an object
        odd = [each for each in inputs if not isinstance(each, readable)]
        if odd and not issubclass(kind, TextToText):
            raise XinyeError(f"expected a text, found {str(odd[0])[:40]}")
        judged = self.judged(observer)
        if entry.settings:
            given: UseSettings = checked(found(entry.settings), settings, verb)
            results = judge.use(self.task_for(kind, given, judged), judged, inputs, given)
        elif settings and entry.asked_with and not isinstance(self.network, Head):
            results = entry.untaught.use(judged, inputs, **settings)
        else:
            results = judge.use(self._learned(kind, settings), judged, inputs)
        return results[0] if one else results

    def task_for(self, kind: type[Task], settings: UseSettings, judged: Judged) -> Task:
        """The task of this kind as the model does it: as it was trained for it, or without that
        training, of which the observer is told; a task that writes then shows the examples of the
        settings. Raises `XinyeError` if the model cannot do it.
        """
        examples = settings.examples if isinstance(settings, WritingSettings) else ()
        trained = self.task is not None and self.task.verb == kind.verb
        if trained or not task_evaluation.can_do(self.network, self.task, kind):
            return self._learned(kind, {"examples": examples} if examples else {})
        if issubclass(kind, TextToText) and isinstance(settings, WritingSettings):
            shown = shown_task(judged, kind, settings)
            for note in shown.notes:
                judged.observer.warn(note)
            return shown.task
        said = f"this model was not trained to {kind.verb}; one that was does it better"
        judged.observer.warn(f"note: {said}")
        return kind.of_network(self.network)

    def explain(self, texts: Any, *, label: str | None = None) -> list[Any]:
        """Why the model labels a text as it does: an `Explanation` for its label, or for each of
        several labels or spans; a list of these lists for a list of texts. See `xinye explain`.

        `label` names another label, or the type or the text of spans. A tuple is a pair of texts.
        Raises `XinyeError` for a model that generates text, and for an unknown label.

        >>> model.explain("送得快，汤还是热的")[0].strongest[0]  # doctest: +SKIP
        """
        one = isinstance(texts, str | tuple)
        found = explain.explain(self.judged(), [texts] if one else list(texts), label)
        return found[0] if one else found

    @overload
    def answer(
        self,
        question: str,
        *,
        knowledge: Knowledge,
        count: int | None = None,
        precision: float | None = None,
    ) -> Answered: ...

    @overload
    def answer(
        self, question: str, *, knowledge: Graph, earlier: Sequence[Message] = ()
    ) -> GraphAnswer: ...

    def answer(
        self,
        question: str,
        *,
        knowledge: Knowledge | Graph,
        count: int | None = None,
        precision: float | None = None,
        earlier: Sequence[Message] = (),
    ) -> Answered | GraphAnswer:
        """Answer a question from `knowledge`: a passage, a list of texts, or a `KnowledgeBase`, of
        which the `count` best passages are found (5); or a `Graph`.

        The answer is quoted: `text`, the `sentence` that it stands in and its `source`; if it is in
        none of the passages, `text` is empty and `refused` says why. A knowledge base answers only
        with the wanted `precision`, by default that of its calibration. From a graph a model
        answers that classifies the relations of questions; `earlier` are the messages before the
        question, with `role` and `content`, of which an entity may be meant. Raises `XinyeError`
        for a model that was not fine-tuned for it, for an empty question, and for a `count` or
        `precision` without effect.

        >>> model.answer("几点开门？", knowledge="茶铺八点开门。").text  # doctest: +SKIP
        '八点'
        >>> relations.answer("天鹅酒店的电话？", knowledge=graph).text  # doctest: +SKIP
        '天鹅酒店的电话是555-0134。'
        """
        if isinstance(knowledge, Graph):
            answering.check_reading(knowledge, count, precision)
            return answer_from_graph(self.judged(), knowledge, question, check_messages(earlier))
        if earlier:
            raise XinyeError("earlier messages have an effect on a graph only; leave them out")
        self._learned(find_text_task("answer"), {})
        return answering.answer(self.judged(), question, knowledge, count, precision)

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        """Each task's verb as a method: `model.tag(texts)` is `model.use("tag", texts)`."""
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
        """The model's figures on files of records, beside those of the task's baseline.

        The baseline is trained on the records of the model's own run, or is its base model. A model
        without a task classifies zero-shot, with the labels of the records or of the settings, as
        in `classify`; with `task="chat"` it answers by its chat template. `settings` may name
        columns of the files. A model that answers gets its passages from `knowledge`, a knowledge
        base, instead of the records, if that is among them.
        """
        files = names_of(data)
        if not files:
            raise XinyeError(
                f"{self.folder}: give records to evaluate it on: xinye evaluate "
                f"{quoted(self.folder)} --data FILE"
            )
        judged = replace(self.judged(observer), with_baseline=baseline)
        return task_evaluation.evaluate(judged, files, task, **settings)

    def _learned(self, kind: type[Task], settings: dict[str, Any]) -> Task:
        """The model's task if its verb is that of `kind`; otherwise raises `XinyeError`."""
        learned = self.task
        if learned:
            judge.refuse_settings(learned, self.folder, settings)
        if learned and learned.verb == kind.verb:
            return learned
        has_head = isinstance(self.network, Head)  # a classifier cannot learn another task
        base = began_with(self.folder) if has_head else str(self.folder)
        command = f"xinye finetune {quoted(base)} --task {kind.verb} --data FILE -o RUN"
        ask = f"or use {base} without training, with --labels a,b"
        ask = f"; {ask}" if TASKS[kind.verb].asked_with else ""
        problem = f"this model was not trained to {kind.verb}; fine-tune {base}: {command}"
        raise XinyeError(f"{self.folder}: {problem}{ask}")


def names_of(files: Files) -> tuple[str, ...]:
    """The paths as text."""
    return tuple(str(file) for file in ([files] if isinstance(files, str | Path) else files))
