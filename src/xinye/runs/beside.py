"""Findings that compare a model with its task's baseline, and with a run without augmentation."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from xinye.errors import plural
from xinye.language import chinese
from xinye.runs.saved import SavedRun
from xinye.runs.words import LOSS, NOTHING, Both, Figure


class Finding(NamedTuple):
    """A conclusion from the figures of a run, and what to do about it."""

    name: str
    says: Both
    advice: Both = NOTHING

    @property
    def good(self) -> bool:
        """Whether the finding is not a problem."""
        return not self.advice.en or self.name == "still improving"


MORE = Both(
    "Pretraining the base model longer on similar text helps most; then more records or --epochs.",
    "最有效的是用同类文本延长基座模型的预训练，其次是增加样本、增加 --epochs。",
)


class Compared(NamedTuple):
    """A run compared with something else: the gain, both figures in readable form (ours with its
    name), and why the difference may be chance, which is empty if it is not."""

    gain: float
    ours: Both
    theirs: str
    chance: Both


def beside_baseline(run: SavedRun) -> Finding | None:
    """Whether the model is better than the baseline of its task; None if there is nothing to
    compare."""
    baseline = run.result.baseline or {}
    figures = [figure for figure in (run.words.deciding, LOSS, *run.words.figures) if figure]
    compared = next(filter(None, (_compared(run, each, baseline) for each in figures)), None)
    if (run.result.measured or {}).get("span_f1") == 0:
        return _found_nothing(compared, baseline.get("name"))
    if not compared:
        return None
    name = baseline["name"]
    en = f"{compared.ours.en}, {name} {compared.theirs}."
    zh = f"{compared.ours.zh}，{chinese(name)} {compared.theirs}。"
    if not compared.chance.en and compared.gain > 0:
        return Finding("healthy", Both(f"Better than its baseline: {en}", f"好过基线：{zh}"))
    if compared.chance.en:
        says = compared.chance
        says = Both(f"Equal to its baseline{says.en}: {en}", f"与基线持平{says.zh}：{zh}")
    else:
        says = Both(f"Worse than its baseline: {en}", f"不如基线：{zh}")
    name = "level with the baseline" if compared.chance.en else "below the baseline"
    return Finding(name, says, MORE)


def _found_nothing(compared: Compared | None, name: str | None) -> Finding:
    """About a model that found no span."""
    beside = NOTHING
    if compared and name:
        beside = Both(f" ({name} {compared.theirs})", f"（{chinese(name)} {compared.theirs}）")
    says = Both(
        f"The model has learned nothing: it finds no correct span{beside.en}.",
        f"模型什么也没学到：没有找对任何实体{beside.zh}。",
    )
    level = compared is not None and bool(compared.chance.en)
    return Finding("level with the baseline" if level else "below the baseline", says, MORE)


def beside_control(run: SavedRun) -> Finding | None:
    """Whether augmentation improved the model, compared with the run without it; None if there is
    nothing to compare."""
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
    # This is two standard errors at a share of one half, where they are largest.
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
    """A run compared with other figures; None if one of them lacks this figure."""
    measured = run.result.measured or {}
    if figure.name not in measured or figure.name not in other:
        return None
    ours, theirs = measured[figure.name], other[figure.name]
    value = figure.written(ours)
    named = Both(f"{figure.short} {value}", f"{figure.says.zh or figure.short} {value}")
    records = run.plan.validation_records
    gain = figure.gain(ours, theirs)
    chance = NOTHING
    paired = other.get("gain")  # with its 95 % interval, paired by records or users
    if isinstance(paired, dict):
        if _within_interval(paired):
            chance = Both(" within chance", "（差别在偶然范围内）")
    elif records and abs(gain) <= figure.chance(ours, theirs, records):
        many = plural(records, "record")
        chance = Both(f" within chance on {many}", f"（{records:,} 条样本上的差别在偶然范围内）")
    elif value == figure.written(theirs):
        chance = Both(" in all printed digits", "（显示的各位数字相同）")
    return Compared(gain, named, figure.written(theirs), chance)


def _within_interval(paired: dict[str, Any]) -> bool:
    """Whether the mean of a difference is smaller than its 95 % interval; False if unknown."""
    mean, interval = paired.get("mean"), paired.get("interval")
    return isinstance(mean, float) and isinstance(interval, float) and abs(mean) <= interval
