"""The task `answer`: finds the answer to a question in a passage, or that it is not in there."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import torch

from xinye.data.notes import Notes, place_of
from xinye.data.records import Row
from xinye.data.sources import headerless, read_records
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation import answers
from xinye.language import shown
from xinye.model.heads import EVERY_ANSWER, POINTERS, Head
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.retrieval.sentences import Scored, best_sentence, scored_sentences
from xinye.runs.words import LOSS, Both, Figure, TaskWords
from xinye.tasks.answer_cloze import about_others, cloze
from xinye.tasks.answer_decisions import pointing
from xinye.tasks.answer_passages import with_passages
from xinye.tasks.answer_records import Named, Question, counted, flat, read_question
from xinye.tasks.answer_spans import Candidate, Extract, answered, candidates, quote
from xinye.tasks.answer_windows import Window, pair_tokenizer, window_around, windows_of
from xinye.tasks.decisions import Decision
from xinye.tasks.exercise import Exercise
from xinye.tasks.heads import USE, HeadTask
from xinye.tasks.questions import documents, is_for_test, questions
from xinye.tasks.records import (
    Example,
    Examples,
    OnBad,
    leaks,
    refuse,
    refuse_line,
    repeated,
    split,
)
from xinye.tasks.task import Figures, Mark


class Answer(HeadTask):
    """Trains a reader, which points to the answer in a passage. `labels` are begin and end."""

    verb = "answer"
    head = "span"
    learns_threshold = True
    figures = ("loss", "f1", "exact_match")
    better = "f1"
    baseline_name = "sentence that shares most with the question"
    counted = ("kind of question", "kinds of questions")
    own_labels = True
    counts_name = "questions"
    kept_of = "the passages"
    columns = ("question_field", "passage_field", "answer_field", "absent_answers", "knowledge")
    special_settings = ("cloze", "other_passages")
    augmentations = ()
    words = TaskWords(
        figures=(
            Figure("f1", "F1", Both("F1 of words", "字词 F1"), 1, percent=True),
            Figure("exact_match", "exact match", Both("exact match", "完全匹配"), 1, percent=True),
            Figure("answered", "answered", digits=1, percent=True, reported=False),
            Figure("refused_rightly", "rightly refused", digits=1, percent=True, reported=False),
            LOSS,
        ),
        decides="f1",
        unit="labels",
        has_labels=False,
        does="Finds the answer to a question in a passage, or says that it is not in there.",
        limit=(
            "It only quotes: what it finds may be the wrong words, and a passage may be wrong. "
            "Its probabilities are not calibrated."
        ),
        pipeline="question-answering",
        use=USE,
        command='xinye answer {folder} "…" --passage FILE',
        python='print(model.answer("…", knowledge="…"))',
        transformers='AutoModelForQuestionAnswering.from_pretrained("{folder}")',
    )

    exercise = Exercise(
        make=questions,
        begin=Both(
            "A GPT will learn to answer questions from the handbook of a tea shop.",
            "训练一个 GPT，让它从法律条文里找出问题的答案。",
        ),
        baseline=Both(
            "the sentence that shares most with the question", "一个基线（和问题重合最多的那一句）"
        ),
        line=lambda row: f"{row['question']} → {row['answer'] or shown('(not in the passage)')}",
        text=lambda row: row["question"],
        kept=is_for_test,
        documents=documents,
        new=4,
        training=1000,  # all
        context=256,
        base_epochs=10,
        epochs=20,
        tokenizers={"zh": "char"},  # answers can begin and end at any character
        words={
            "records": Both(
                "Questions in everyday words, written by hand: {training:,} training records and "
                "{held_out:,} test records. None of the test questions is in the training set.",
                "问题都是人写的大白话：训练集 {training:,} 条样本，测试集 {held_out:,} 条。"
                "测试集的问题都不在训练集里。",
            ),
            "base": Both(
                "A base model is pretrained on the {texts:,} passages of the handbook for {times} "
                "epochs, without questions.",
                "先用 {texts:,} 段法律条文预训练一个基座模型，不用问题，训练 {times} 个轮次。",
            ),
            "use": Both(
                "New questions, answered from a knowledge base of all documents. In the older "
                "version of the handbook the answers are different; the last one is not in there.",
                "把全部文件建成知识库，再问几个新问题。放假办法还有一个旧版本，说法不同；"
                "最后一个问题，这些法律里没有答案。",
            ),
        },
    )

    def __init__(self, labels: Sequence[str] = POINTERS, several: bool = False) -> None:
        super().__init__(labels, several)

    @classmethod
    def of(cls, records: Sequence[Question]) -> Self:
        if not any(record.answers for record in records):
            raise XinyeError("no question has an answer, so there is nothing to learn from")
        return cls()

    # -- records -----------------------------------------------------------------------------------

    @classmethod
    def read(
        cls,
        files: Sequence[str],
        on_bad: OnBad = refuse,
        notes: Notes | None = None,
        **columns: Any,
    ) -> list[Question]:
        """The records of files. A knowledge base has the passages of those without one."""
        notes = notes or Notes()
        records = cls.read_questions(files, on_bad, notes, **columns)
        if folder := columns.get("knowledge"):
            return with_passages(records, folder, notes)
        return records

    @classmethod
    def read_questions(
        cls, files: Sequence[str], on_bad: OnBad, notes: Notes, **columns: Any
    ) -> list[Question]:
        """The records of files as they are: if `columns` name a knowledge base, some have no
        passage."""
        return super().read(files, on_bad, notes, **columns)

    @classmethod
    def read_file(
        cls, path: Path, on_bad: OnBad, notes: Notes, **columns: Any
    ) -> Iterator[Question]:
        named = Named(**columns)
        for line, row in read_records(path, refuse_line(on_bad), named.fields, notes=notes):
            try:
                for place, each in flat(row, place_of(path, line)):
                    try:
                        yield read_question(each, place, named, notes)
                    except XinyeError as error:
                        on_bad(error)
            except XinyeError as error:
                on_bad(error)

    @classmethod
    def without_header(cls, path: Path, **columns: Any) -> str:
        return headerless(path, Named(**columns).fields)

    def check(self, records: Sequence[Question]) -> None:
        """Any question can be judged."""

    @classmethod
    def split(
        cls,
        records: Sequence[Question],
        share: float,
        seed: int,
        fold: tuple[int, int] | None = None,
    ) -> tuple[list[Question], list[Question]]:
        """Questions about the same passage stay together."""
        return split(records, share, seed, fold, text=lambda record: record.passage)

    @classmethod
    def findings(
        cls, training: Sequence[Question], validation: Sequence[Question]
    ) -> Iterator[str]:
        yield from repeated(training)
        yield from leaks(training, validation)

    @classmethod
    def counts(cls, records: Sequence[Question]) -> dict[str, int]:
        return counted(records)

    @classmethod
    def enlarged(cls, records: Sequence[Question], settings: FinetuneSettings) -> list[Question]:
        """The records, questions made from their passages, and questions with passages of others,
        which do not answer them; of each a short window with the answer is learned."""
        chance = random.Random(settings.seed)
        passages = list(dict.fromkeys(record.passage for record in records))
        made = [
            question for passage in passages for question in cloze(passage, settings.cloze, chance)
        ]
        real = [record for record in records if record.answers]
        wrong = about_others([*real, *made], settings.other_passages, chance)
        all_of_them = [*records, *made, *wrong]
        return [replace(each, at=chance.random()) for each in all_of_them]

    # -- tokens ------------------------------------------------------------------------------------

    @classmethod
    def tokenizer(cls, tokenizer: Tokenizer) -> Tokenizer:
        return pair_tokenizer(tokenizer)

    def examples(
        self, tokenizer: Tokenizer, records: Sequence[Question], context: int
    ) -> list[Example]:
        return [
            Example(window.tokens, window.targets(record.span), window.cut)
            for record in records
            for window in self.windows(tokenizer, record, context)
        ]

    @staticmethod
    def windows(tokenizer: Tokenizer, record: Question, context: int) -> list[Window]:
        """The windows of a record: all of its passage, or the one that is learned from."""
        if record.at is not None:
            return [window_around(tokenizer, record, context)]
        return windows_of(tokenizer, record.question, record.passage, context)

    def marks(
        self, tokenizer: Tokenizer, example: Example
    ) -> tuple[str | None, list[tuple[int, Mark]]]:
        begin, end = map(int, example.targets)  # type: ignore[arg-type]
        places = range(begin, end + 1) if end else ()
        marks = {at: f"{'I' if at > begin else 'B'}-{shown('answer')}" for at in places}
        return None, [(token, marks.get(at)) for at, token in enumerate(example.tokens)]

    # -- evaluation --------------------------------------------------------------------------------

    def extracts(
        self, model: Head, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], context: int
    ) -> list[Extract]:
        """What to quote of each passage for its question."""
        return self.quotes(
            model,
            tokenizer,
            pairs,
            context,
            [scored_sentences(question, [passage]) for question, passage in pairs],
        )

    def answer(
        self,
        model: Head,
        tokenizer: Tokenizer,
        question: str,
        passages: Sequence[str],
        context: int,
    ) -> list[Extract]:
        """What to quote of each passage for one question. A word of it counts the more, the fewer
        sentences of all these passages have it."""
        sentences: list[list[Scored]] = [[] for _ in passages]
        for sentence in scored_sentences(question, passages):
            sentences[sentence.passage].append(sentence)
        pairs = [(question, passage) for passage in passages]
        return self.quotes(model, tokenizer, pairs, context, sentences)

    @torch.no_grad()
    def quotes(
        self,
        model: Head,
        tokenizer: Tokenizer,
        pairs: Sequence[tuple[str, str]],
        context: int,
        sentences: Sequence[Sequence[Scored]],
    ) -> list[Extract]:
        """What to quote of each passage, of which `sentences` are scored."""
        model.eval()
        device = next(model.parameters()).device
        windows: list[tuple[int, Window]] = [
            (number, window)
            for number, (question, passage) in enumerate(pairs)
            for window in windows_of(tokenizer, question, passage, context)
        ]
        found: list[list[Candidate]] = [[] for _ in pairs]
        examples = [Example(window.tokens, (0, 0)) for _, window in windows]
        for numbers, batch in Examples(examples, tokenizer.pad_id).in_order(16):
            logits = model(batch.tokens.to(device), batch.lengths.to(device)).cpu()
            for row, number in enumerate(numbers):
                of, window = windows[number]
                found[of] += candidates(window, logits[row], sentences[of])
        return [
            quote(passage, own, of)
            for (_, passage), own, of in zip(pairs, found, sentences, strict=True)
        ]

    def measure(
        self, model: Head, tokenizer: Tokenizer, records: Sequence[Question], context: int
    ) -> Figures:
        """Next to the metrics of `evaluation/answers.py`, `answerable_f1`: F1 of the questions that
        have an answer if none of them is refused."""
        found = self._read(model, tokenizer, records, context)
        return self._measured(model, found, records)

    def validate(
        self,
        model: Head,
        tokenizer: Tokenizer,
        records: Sequence[Question],
        context: int,
        settings: FinetuneSettings,
    ) -> Figures:
        """Sets the threshold whose F1 is highest. If all of the records have an answer, it is
        chosen with questions about other passages, as many as in training; without these, the
        reader never refuses."""
        found = self._read(model, tokenizer, records, context)
        judged, asked = list(found), list(records)
        if all(record.answers for record in records):
            chance = random.Random(settings.seed)
            wrong = about_others(records, settings.other_passages, chance)
            judged += self._read(model, tokenizer, wrong, context)
            asked += wrong
        threshold = EVERY_ANSWER
        if any(not record.answers for record in asked):
            right = [record.answers for record in asked]
            threshold = answers.best_threshold(
                [each.evidence for each in judged],
                [answers.f1(each.text, known) for each, known in zip(judged, right, strict=True)],
                [answers.f1("", known) for known in right],
            )
        model.config = replace(model.config, threshold=threshold)
        return self._measured(model, found, records)

    def _read(
        self, model: Head, tokenizer: Tokenizer, records: Sequence[Question], context: int
    ) -> list[Extract]:
        pairs = [(record.question, record.passage) for record in records]
        return self.extracts(model, tokenizer, pairs, context)

    @staticmethod
    def _measured(model: Head, found: Sequence[Extract], records: Sequence[Question]) -> Figures:
        right = [record.answers for record in records]
        figures = answers.measure([each.text for each in answered(model, found)], right)
        known = [(each.text, own) for each, own in zip(found, right, strict=True) if own]
        without_refusing = answers.measure([text for text, _ in known], [own for _, own in known])
        return figures | {"answerable_f1": without_refusing["f1"]}

    def baseline(
        self,
        training: Sequence[Question],
        records: Sequence[Question],
        before: Figures | None = None,
    ) -> Figures:
        """The sentence of the passage that shares most with the question."""
        found = [best_sentence(record.question, [record.passage]) for record in records]
        texts = [sentence.text if sentence else "" for sentence in found]
        return answers.measure(texts, [record.answers for record in records])

    def sample(self, model: Head, tokenizer: Tokenizer, record: Question, context: int) -> str:
        extract = self.use(model, tokenizer, [(record.question, record.passage)], context)[0]
        right = record.answers[0] if record.answers else shown("(not in the passage)")
        said = extract["text"] or shown("(not in the passage)")
        return f"{record.question} → {said}" + ("" if said == right else f" ({right})")

    # -- use ---------------------------------------------------------------------------------------

    def use(
        self,
        model: Head,
        tokenizer: Tokenizer,
        inputs: Sequence[Any],
        context: int,
        settings: Any = None,
    ) -> list[Row]:
        """For each pair of question and passage a dictionary with the fields of `Extract`; its text
        is "" if the passage has no answer."""
        found = self.extracts(model, tokenizer, inputs, context)
        return [asdict(each) for each in answered(model, found)]

    def decisions(
        self, model: Head, tokenizer: Tokenizer, text: Any, context: int, label: str | None
    ) -> list[Decision]:
        if isinstance(text, str) or not text[1].strip():
            raise XinyeError("give the passage to answer from: --passage FILE, or --pair TEXT")
        return [pointing(model, tokenizer, text, context, label)]

    @classmethod
    def lines(cls, text: str, result: Row, alone: bool) -> list[str]:
        said = result["text"] or shown("(not in the passage)")
        return [said if alone else f"{said}\t{text}"]
