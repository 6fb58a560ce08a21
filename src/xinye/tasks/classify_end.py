"""The end of a classifier's training: it is calibrated, mixed with word counts, and its hard cases
are found."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from xinye.errors import XinyeError
from xinye.evaluation.calibration import learn_weights, probabilities, weighted
from xinye.evaluation.word_counts import LIBRARY, Numbers, WordCounts
from xinye.libraries import installed
from xinye.tasks.classify_hard import SURE, HardCases, told
from xinye.tasks.classify_mix import ALONE, Gain, Mix, compared, left_out
from xinye.tasks.classify_records import LabelledText
from xinye.tasks.classify_texts import pairs_of
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
    counts = word_counts(task, trained)
    tables = [network_logits(task, trained, records)]
    if counts:
        tables.append(counts.logits([record.whole for record in records], task.labels))
    task.mix, mixed = Mix.learn(tables, task.has(records), task.several, counts)
    mixes = task.mix.counts is not None
    findings = [left_out(len(records))] if counts and not mixes else []
    tables = tables[: 1 + mixes]
    measured, alone, *_ = [task.judged(records, each) for each in (mixed, *tables)]
    gains = None
    if mixes and len(records) > 1:
        whole, network, words = (task.right(records, each) for each in (mixed, *tables))
        gains = Gain.of(whole, words), Gain.of(whole, network)
        task.gain = gains[0]
    errors = alone["calibration_error"], measured["calibration_error"]
    cases, doubts = hard_cases(task, trained, mixed, tables[0], counts)
    saved(task.mix, task, trained).save(trained.folder)
    return {
        "measured": measured,
        "mixes": [{"name": ALONE, **alone}] if mixes else [],
        "compared": findings + compared(task.mix, len(records), gains, errors) + doubts,
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


def saved(mix: Mix, task: "Classify", trained: Trained) -> Mix:
    """The mix to save, whose word counts have learned from all of the data."""
    if not mix.counts or trained.settings.validation:
        return mix
    everything = [*trained.training, *trained.validation]
    return replace(mix, counts=task.word_counts(everything, mix.counts.tuning))


def network_logits(task: "Classify", trained: Trained, records: Sequence[LabelledText]) -> Numbers:
    """What the network says of records, (records, labels)."""
    return task.logits(trained.model, trained.tokenizer, pairs_of(records), trained.context)


def hard_cases(
    task: "Classify",
    trained: Trained,
    mixed: Numbers,
    network: Numbers,
    counts: WordCounts | None,
) -> tuple[Figures, list[str]]:
    """The hard cases, and a sentence about them, from the logits of the validation records. The
    training records are compared with the calibrated network alone, since word counts remember each
    of them; of these are the words that decided."""
    hard = HardCases(task.labels, task.chosen, counts)
    mistakes = hard.contradicted(trained.validation, probabilities(mixed, task.several))
    own = learn_weights([network], task.has(trained.validation), task.several)
    looked_at = trained.training[:LOOKED_AT]
    logits = weighted([network_logits(task, trained, looked_at)], own)
    doubted = hard.contradicted(looked_at, probabilities(logits, task.several))
    doubted = [case for case in doubted if case.probability >= SURE]
    cases = {"mistakes": [*hard.shown(mistakes)], "mislabelled": [*hard.shown(doubted)]}
    return cases, told(len(doubted), len(looked_at))
