"""Findings that compare a task's model with its baseline, and with a run without augmentation."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from xinye.errors import plural
from xinye.language import chinese
from xinye.runs.saved import SavedRun
from xinye.runs.words import LOSS, NOTHING, Both, Figure


class Finding(NamedTuple):
    """Something the numbers say, and what to do about it."""

    name: str
    says: Both
    advice: Both = NOTHING

    @property
    def good(self) -> bool:
        """Whether nothing needs to be mended."""
        return not self.advice.en or self.name == "still improving"


class Compared(NamedTuple):
    """By how much a run is better, both figures as they are read, ours with its name, and why the
    difference says nothing, where it does not."""

    gain: float
    ours: Both
    theirs: str
    chance: Both


def beside_baseline(run: SavedRun) -> Finding | None:
    """Whether a model of a task was worth it."""
    baseline = run.result.baseline or {}
    figures = [figure for figure in (run.words.deciding, LOSS, *run.words.figures) if figure]
    compared = next(filter(None, (_compared(run, each, baseline) for each in figures)), None)
    if not compared:
        return None
    name = baseline["name"]
    en = f"{compared.ours.en}, {name} {compared.theirs}."
    zh = f"{compared.ours.zh}，{chinese(name)} {compared.theirs}。"
    if not compared.chance.en and compared.gain > 0:
        return Finding("healthy", Both(f"Better than its baseline: {en}", f"好过基线：{zh}"))
    spans = run.words.deciding and run.words.deciding.name == "span_f1"
    if spans and (run.result.measured or {})["span_f1"] == 0:
        says = Both(f"Found no correct entity: {en}", f"没有找对任何实体：{zh}")
    elif compared.chance.en:
        says = compared.chance
        says = Both(f"Equal to its baseline{says.en}: {en}", f"与基线持平{says.zh}：{zh}")
    else:
        says = Both(f"Worse than its baseline: {en}", f"不如基线：{zh}")
    return Finding(
        "level with the baseline" if compared.chance.en else "below the baseline",
        says,
        Both(
            "A base model pretrained longer on similar text helps most; then more "
            "records, more --epochs.",
            "最有效的是用同类文本延长基座模型的预训练，其次是增加样本、增加 --epochs。",
        ),
    )


def beside_control(run: SavedRun) -> Finding | None:
    """Whether augmentation was worth it."""
    control = run.result.control or {}
    figure = run.words.deciding or LOSS
    compared = _compared(run, figure, control)
    if not compared:
        return None
    gain, ours, theirs, _ = compared
    kinds = ", ".join(control["augment"])
    if gain <= 0:
        return Finding(
            "augmentation gained nothing",
            Both(
                f"Augmentation ({kinds}) did not help on validation: {ours.en}, without it "
                f"{theirs}.",
                f"数据增强（{kinds}）在验证集上没有收益：{ours.zh}，不增强 {theirs}。",
            ),
            Both(
                f"Use the run without it, {control['run']}.",
                f"请改用不做增强的那次训练：{control['run']}。",
            ),
        )
    few = NOTHING
    # two standard errors of a half, at most
    if figure.percent and gain < 1 / math.sqrt(control["records"]):
        few = Both(
            f"With {control['records']:,} validation records this may be chance: check it with "
            "--folds 5.",
            f"验证集只有 {control['records']:,} 条样本，可能只是偶然：请用 --folds 5 复核。",
        )
    gained = Both(
        f"Augmentation ({kinds}) helped on validation: {ours.en}, without it {theirs}.",
        f"数据增强（{kinds}）在验证集上有收益：{ours.zh}，不增强 {theirs}。",
    )
    return Finding("augmentation gained", gained, few)


def _compared(run: SavedRun, figure: Figure, other: Mapping[str, Any]) -> Compared | None:
    """A run beside something else; None where one of them lacks the figure."""
    measured = run.result.measured or {}
    if figure.name not in measured or figure.name not in other:
        return None
    ours, theirs = measured[figure.name], other[figure.name]
    value = figure.written(ours)
    named = Both(f"{figure.short} {value}", f"{figure.says.zh or figure.short} {value}")
    records = run.plan.validation_records
    gain = figure.gain(ours, theirs)
    chance = NOTHING
    if records and abs(gain) <= figure.chance(ours, theirs, records):
        many = plural(records, "record")
        chance = Both(f" within chance on {many}", f"（{records:,} 条样本上的差别在偶然范围内）")
    elif value == figure.written(theirs):
        chance = Both(" in all printed digits", "（显示的各位数字相同）")
    return Compared(gain, named, figure.written(theirs), chance)
