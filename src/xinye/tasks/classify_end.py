"""The end of a classifier's training: it is calibrated, mixed with word counts, and its hard cases
are found."""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from xinye.errors import XinyeError
from xinye.evaluation.calibration import parts_of
from xinye.evaluation.logits import Numbers, probabilities
from xinye.evaluation.word_counts import LIBRARY, Tuning, WordCounts
from xinye.libraries import installed
from xinye.tasks.classify_hard import SURE, HardCases, doubt_sentences
from xinye.tasks.classify_mix import (
    NETWORK,
    PARTS,
    WORDS,
    Gain,
    Mix,
    calibration_sentence,
    left_out_sentence,
    mix_sentences,
)
from xinye.tasks.classify_records import LabelledText
from xinye.tasks.classify_texts import pairs_of
from xinye.tasks.heads import GPT_ALONE
from xinye.tasks.task import Figures, Trained

if TYPE_CHECKING:
    from xinye.tasks.classify import Classify

LOOKED_AT = 20_000  # training records among which mislabelled ones are looked for


def complete(task: "Classify", trained: Trained) -> Figures:
    """Learn the mix on the validation records, save it, and return the figures of all parts, and
    the hard cases.

    The word counts that are saved have learned from the validation records, too, if these are a
    part of the data. The weights and the figures are those of counts that have not.
    """
    records = trained.validation
    task.learned_counts = counts = word_counts(task, trained)
    number = len(records)
    network = network_logits(task, trained, records)
    tables = {NETWORK: network}
    if counts:
        tables[WORDS] = counts.logits([record.whole for record in records], task.labels)
    mix, mixed = Mix.learn(tables, task.has(records), task.several, counts)
    task.mix = mix
    measured, alone = task.judged(records, mixed), task.judged(records, network)
    findings = [left_out_sentence(part, number) for part in tables if part not in mix.weights]
    if len(mix.weights) == len(PARTS):
        gains = [
            Gain.of(task.right(records, mixed), task.right(records, tables[part]))
            for part in (WORDS, NETWORK)
        ]
        task.gain = gains[0]
        findings += mix_sentences(mix, number, *gains)
    errors = measured["calibration_error"], alone["calibration_error"]
    findings.append(calibration_sentence(number, *errors))
    of_all_data(mix, task, trained).save(trained.folder)
    cases, doubts = hard_cases(task, trained, mix, mixed)
    return {
        "texts": [task.sample(trained.model, trained.tokenizer, records[0], trained.context)],
        "measured": measured,
        "mixes": [{"name": GPT_ALONE, **alone}] if mix.counts else [],
        "compared": findings + doubts,
        "hard_cases": cases,
    }


def word_counts(task: "Classify", trained: Trained) -> WordCounts | None:
    """The model of word counts; None if it is not wanted, or cannot be learned."""
    if not (trained.settings.mix_baseline and installed(LIBRARY)):
        return None
    try:
        return task.word_counts(trained.training)
    except XinyeError:  # the baseline says why
        return None


def of_all_data(mix: Mix, task: "Classify", trained: Trained) -> Mix:
    """The mix to save, whose word counts have learned from all of the data."""
    if not mix.counts or trained.settings.validation:
        return mix
    everything = [*trained.training, *trained.validation]
    return replace(mix, counts=task.word_counts(everything, mix.counts.tuning))


def network_logits(task: "Classify", trained: Trained, records: Sequence[LabelledText]) -> Numbers:
    """What the network says of records, (records, labels)."""
    return task.logits(trained.model, trained.tokenizer, pairs_of(records), trained.context)


def hard_cases(
    task: "Classify", trained: Trained, mix: Mix, mixed: Numbers
) -> tuple[Figures, list[str]]:
    """The hard cases, and sentences about them. `mixed` are the logits of the validation records.
    Of very many training records only some are looked at."""
    hard = HardCases(task.labels, task.chosen, mix.counts)
    mistakes = hard.contradicted(trained.validation, probabilities(mixed, task.several))
    looked_at = drawn(trained.training, LOOKED_AT, trained.settings.seed)
    tables = {}
    if mix.has_network:
        tables[NETWORK] = network_logits(task, trained, looked_at)
    if mix.counts:
        tables[WORDS] = counted_by_others(task, looked_at, mix.counts.tuning)
    doubted = hard.contradicted(looked_at, probabilities(mix.together(tables), task.several))
    doubted = [case for case in doubted if case.probability >= SURE]
    cases = {"mistakes": [*hard.shown(mistakes)], "mislabelled": [*hard.shown(doubted)]}
    return cases, doubt_sentences(len(doubted), len(looked_at), len(trained.training))


def counted_by_others(task: "Classify", records: Sequence[LabelledText], tuning: Tuning) -> Numbers:
    """What word counts say of records from which they have not learned, but from the others
    (cross-validation), as logits (records, labels): they would remember each of their own. Of a
    label that no other record has they say nothing."""
    texts = [record.whole for record in records]
    unique, which = np.unique(np.array(texts, object), return_inverse=True)
    part = parts_of(len(unique))[which]  # equal texts stay together
    has = task.has(records)
    found = np.zeros(has.shape)
    for number in np.unique(part):
        own = part == number
        try:
            counts = task.word_counts([*compress(records, ~own)], tuning)
        except XinyeError:  # from these alone nothing can be learned
            continue
        answered = counts.logits([*compress(texts, own)], task.labels)
        unknown = has[own] & ~has[~own].any(0)
        answered[unknown if task.several else unknown.any(1)] = 0.0
        found[own] = answered
    return found


def drawn(records: Sequence[LabelledText], most: int, seed: int) -> list[LabelledText]:
    """The records, in their order; of more than so many those that chance draws."""
    numbers = random.Random(seed).sample(range(len(records)), min(most, len(records)))
    return [records[at] for at in sorted(numbers)]
