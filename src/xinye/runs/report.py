"""The report of a run: one self-contained HTML page in Chinese and English.

It is made from the files in the run's folder. Its text and style are in `report.html.jinja`.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xinye.data.files import written_beside
from xinye.errors import XinyeError, plural
from xinye.evaluation.plots import Line, Look, line, line_chart
from xinye.language import chinese
from xinye.planning.plan import format_value
from xinye.runs.chinese import SETTINGS, error_in_chinese, sample_in_chinese
from xinye.runs.diagnosis import diagnose
from xinye.runs.saved import SavedRun
from xinye.runs.words import LOSS, NOTHING, Both

if TYPE_CHECKING:  # imported only when a page is written
    from jinja2 import Environment

REPORT = "report.html"  # in the run's folder
POINTS = 240  # points of the training curve, each the mean of some steps
CHART = (4.5, 2.8)  # inches; small enough that its text can be read on a phone

# A colour has one meaning on the whole page, and the page defines it for light and dark mode.
# matplotlib does not know the page's variables, so these colours stand for them in a drawing.
INKS = {"training": "#a1a1a1", "validation": "#a2a2a2", "beside": "#a3a3a3"}

LABELS = {  # the texts in charts, and their Chinese
    "training": "训练",
    "validation": "验证",
    "step": "步",
    "loss (nats per token)": "损失（nat/token）",
    "bits per byte": "每字节比特数",
    "all validation text": "全部验证文本",
    "loss (nats)": "损失（nat）",
    "share": "比例",
    "baseline": "基线",
}
CONFUSED = 12  # up to this many labels, the whole table of confusions is shown
MISTAKES = 15  # with more labels, this many of the most frequent confusions

PARTS = {  # what the time was spent on, by the names in result.json
    "text": Both("reading and tokenizing", "读取和分词"),
    "planning": Both("planning and calibrating", "推算设置、测速"),
    "training": Both("training steps", "训练"),
    "validation": Both("validating", "验证"),
    "completion": Both("mixing and calibrating", "混合、校准"),
    "baselines": Both("learning baselines", "训练基线"),
    "samples": Both("writing samples", "生成样例"),
    "saving": Both("saving", "保存"),
}


def write_report(run: SavedRun) -> str:
    """Write `report.html` into the run's folder. Returns how to install what charts need, if they
    could not be drawn, else an empty string."""
    charts, missing = draw(run)
    seconds = run.result.time_seconds or {}
    write_page(
        run.folder / REPORT,
        "report.html.jinja",
        escape=True,
        filters=(*IN_WORDS, *IN_CHINESE),
        run=run,
        name=run.folder.absolute().name,
        language=language(run),
        findings=diagnose(run),
        charts=charts,
        about_steps=about_steps(run) if charts else NOTHING,
        settings_zh=SETTINGS,
        missing=missing,
        ranks=rank_table(run.result.ranks) if run.result.ranks else None,
        texts=texts(run),
        confusions=confusions(run.result.measured or {}),
        samples=[record for record in run.validations if record.get("sample")],
        parts=[(name, seconds[key]) for key, name in PARTS.items() if key in seconds],
    )
    return missing


def write_page(
    path: Path, template: str, escape: bool, filters: Sequence[Callable[..., Any]], **known: Any
) -> None:
    """Write a file from a template. The template sees `known` as variables and calls the filters by
    their names; `escape` is for HTML."""
    page = _environment(escape, tuple(filters)).get_template(template).render(known)
    with written_beside(path) as beside:
        beside.write_text(page, "utf-8", errors="replace")


@cache  # compiling a template takes longer than filling it in
def _environment(escape: bool, filters: tuple[Callable[..., Any], ...]) -> "Environment":
    """The jinja2 environment for the templates in this folder."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {each.__name__: each for each in filters}
    return environment


def texts(run: SavedRun) -> list[str]:
    """The texts that the model wrote at the end of the run, or else its latest sample."""
    written = [text for text in run.result.texts or () if text.strip()]
    samples = [record["sample"] for record in run.validations if record.get("sample", "").strip()]
    return written if written and run.state == "finished" else samples[-1:]


def language(run: SavedRun) -> str:
    """The language in which the page opens, `zh` or `en`: that of the model's text."""
    text = "".join(texts(run) or run.files)
    return "zh" if len(re.findall(r"[\u3400-\u9fff]", text)) > 0.2 * len(text) else "en"


def rank_table(ranks: dict[str, int]) -> tuple[list[str], dict[int, dict[str, int]]]:
    """AdaLoRA's ranks as a table: the names of the matrices, and for each layer the ranks by name.
    `ranks` has them by site, such as `model.layers.0.mlp.up_proj`."""
    rows: dict[int, dict[str, int]] = {}
    for site, rank in ranks.items():
        _, _, layer, _, name = site.split(".")
        rows.setdefault(int(layer), {})[name] = rank
    return list(dict.fromkeys(name for row in rows.values() for name in row)), rows


def confusions(measured: dict[str, Any]) -> list[tuple[str, str, int]]:
    """The most frequent confusions as (right label, predicted label, count). Empty for few labels,
    because then the page shows the whole table."""
    confusion = measured.get("confusion") or {"labels": [], "counts": []}
    labels = confusion["labels"]
    if len(labels) <= CONFUSED:
        return []
    found = [
        (right, said, count)
        for right, row in zip(labels, confusion["counts"], strict=True)
        for said, count in zip(labels, row, strict=True)
        if right != said and count
    ]
    return sorted(found, key=lambda one: -one[2])[:MISTAKES]


# -- charts ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chart:
    """Lines over the steps by name, and horizontal lines to compare them with."""

    height: str  # what the lines show
    lines: dict[str, Line]
    levels: dict[str, float] = field(default_factory=dict)

    @property
    def colours(self) -> dict[str, str]:
        seen = dict.fromkeys(self.lines, INKS["validation"])
        beside = dict.fromkeys(self.levels, INKS["beside"])
        return seen | {"training": INKS["training"]} | beside


def draw(run: SavedRun) -> tuple[list[str], str]:
    """The charts as SVG in both languages, and the error if they could not be drawn."""
    if sum(math.isfinite(record["loss"]) for record in run.steps) < 10:
        return [], ""  # no curve yet
    labels = dict(LABELS)
    if figure := run.words.deciding:
        labels[figure.says.en] = figure.says.zh
    marked = None
    if step := best_step(run):
        best = Both(f"best: step {step:,}", f"最好：第 {step:,} 步")
        if figure:
            best = Both(
                f"best {figure.says.en}: step {step:,}", f"{figure.says.zh}最好：第 {step:,} 步"
            )
        marked = step, best.en
        labels[best.en] = best.zh
    try:
        drawn = []
        for chart in curves(run):
            look = Look(CHART, chart.colours, chart.levels, run.done, marked)
            drawn.append(line_chart(chart.lines, "step", chart.height, look=look))
    except XinyeError as error:
        return [], str(error)
    return [_on_the_page(chart, labels) for chart in drawn], ""


def best_step(run: SavedRun) -> int | None:
    """The step of the best validation; None for fewer than two. Among equal ones it is the one with
    the lowest loss, and then the last."""
    figure = run.words.deciding or LOSS
    curve: Sequence[Mapping[str, Any]] = run.curve
    judged = [record for record in curve if math.isfinite(record.get(figure.name, math.nan))]
    if len(judged) < 2:
        return None

    def rank(record: Mapping[str, Any]) -> tuple[float, float, int]:
        return figure.gain(record[figure.name], 0.0), -record["loss"], record["step"]

    return int(max(judged, key=rank)["step"])


def about_steps(run: SavedRun) -> Both:
    """Sentences that say which step the charts mark, and which step the saved weights are of."""
    says = []
    best, saved = best_step(run), run.model_step
    if best:
        figure = (run.words.deciding or LOSS).says
        says.append(
            Both(
                f"The vertical line marks step {best:,}, where the {figure.en} on validation data "
                "was best.",
                f"竖线标出验证{figure.zh}最好的第 {best:,} 步。",
            )
        )
        if run.words.deciding:
            says.append(
                Both(
                    "Among equal steps, it marks the one with the lowest loss.",
                    "相同时取损失最低的。",
                )
            )
    if saved:
        last = saved == run.done
        says.append(
            Both(
                f"The saved model has the weights of step {saved:,}"
                + (", the last step." if last else "; later steps are not included."),
                f"保存的模型是第 {saved:,} 步"
                + ("（最后一步）的权重。" if last else "的权重，不含之后的步骤。"),
            )
        )
    if run.result.mixes or run.result.compared:
        says.append(
            Both(
                "The curves are of the GPT in training, before it was mixed or calibrated.",
                "曲线画的是训练中的 GPT，还没有混合和校准。",
            )
        )
    return Both(" ".join(each.en for each in says), "".join(each.zh for each in says))


def curves(run: SavedRun) -> list[Chart]:
    """The charts to draw: losses, and the quality of the model next to its baselines."""
    curve = run.curve
    losses = {"training": means(run)}
    if curve:
        losses["validation"] = line(curve, "step", "loss")
    found = [Chart("loss (nats)" if run.task else "loss (nats per token)", losses)]
    if figures := task_figures(run):
        found.append(figures)
    elif len(curve) > 1 and "bits_per_byte" in curve[-1]:
        bits = {"validation": line(curve, "step", "bits_per_byte")}
        if run.validations[-1] is not curve[-1]:
            bits["all validation text"] = line(run.validations[-1:], "step", "bits_per_byte")
        yardstick = None if run.task else run.about.data.yardstick
        levels = {"gzip": yardstick.gzip, "5-gram": yardstick.five_gram} if yardstick else {}
        found.append(Chart("bits per byte", bits, levels))
    return found


def task_figures(run: SavedRun) -> Chart | None:
    """The task's main figure during the run next to the baseline; None if there is none to draw."""
    curve, baseline = run.curve, run.result.baseline or {}
    figure = run.words.deciding
    if figure is None or len(curve) < 2 or figure.name not in curve[-1]:
        return None
    known = [{figure.name: math.nan, **record} for record in curve]
    levels = {"baseline": baseline[figure.name]} if figure.name in baseline else {}
    height = "share" if figure.percent else figure.says.en
    return Chart(height, {figure.says.en: line(known, "step", figure.name)}, levels)


def means(run: SavedRun) -> Line:
    """The steps and training losses, averaged to at most `POINTS` points."""
    steps = [record for record in run.steps if math.isfinite(record["loss"])]
    points = np.transpose(line(steps, "step", "loss"))
    pieces = np.array_split(points, min(POINTS, len(steps)))
    where, losses = np.transpose([piece.mean(axis=0) for piece in pieces]).tolist()
    return where, losses


def _on_the_page(svg: str, labels: dict[str, str]) -> str:
    """A chart to be put into the page: it fits the width, has no ids, uses the page's colours, and
    has each text in both languages."""
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", svg, count=1)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    for name, colour in INKS.items():
        svg = svg.replace(colour, f"var(--{name})")
    for en, zh in labels.items():
        svg = svg.replace(
            f">{en}<", f'><tspan class="en">{en}</tspan><tspan class="zh">{zh}</tspan><'
        )
    return svg


# -- readable numbers ------------------------------------------------------------------------------


def count(number: float) -> Both:
    """A large number in readable form: 5.2 million, 521 万."""

    def short(value: float) -> str:
        return f"{value:,.2g}" if value < 10 else f"{value:,.0f}"

    en = next(
        (
            f"{short(number / unit)} {word}"
            for unit, word in ((1e9, "billion"), (1e6, "million"))
            if number >= unit
        ),
        "",
    )
    zh = next(
        (
            f"{short(number / unit)} {word}"
            for unit, word in ((1e8, "亿"), (1e4, "万"))
            if number >= unit
        ),
        "",
    )
    return Both(en or f"{number:,.0f}", zh or f"{number:,.0f}")


def duration(seconds: float) -> Both:
    whole = round(seconds)
    if seconds < 10:
        en, zh = f"{seconds:.1f} s", f"{seconds:.1f} 秒"
    elif whole < 60:
        en, zh = f"{whole} s", f"{whole} 秒"
    elif whole < 3600:
        en, zh = f"{whole // 60} min {whole % 60} s", f"{whole // 60} 分 {whole % 60} 秒"
    else:
        en, zh = (
            f"{whole // 3600} h {whole % 3600 // 60} min",
            f"{whole // 3600} 小时 {whole % 3600 // 60} 分",
        )
    return Both(en.replace(" ", "\N{NO-BREAK SPACE}"), zh.replace(" ", "\N{NO-BREAK SPACE}"))


# The space between a number and its unit, which may be within a sentence.
_BEFORE_UNIT = re.compile(
    r"(?<=\d) (?=%|[\u3400-\u9fff]|(?:[kMG]?B|GFLOP/s|ms|s|min|h|million|billion|bits|steps|tokens"
    r"|records|times)\b)|(?<=[\u3400-\u9fff]) (?=\d)"
)


def unbroken(text: str) -> str:
    """A text in which no line breaks between a number and its unit."""
    return _BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", text)


def size(number: float) -> str:
    """A number of bytes with its unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{number:.3g} {unit}" if number < 100 else f"{number:.0f} {unit}"


def value(given: Any) -> str:
    if given is None:
        return "?"
    if isinstance(given, bool):
        return "yes" if given else "no"
    return format_value(given)


def number_of(number: Any, what: str) -> str:
    """A count with its noun: 1 file, 2 files; `? files` if a damaged run does not say how many."""
    return plural(number, what) if isinstance(number, int) else f"{value(number)} {what}s"


def last_part(file: str) -> str:
    return Path(file).name or file


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


IN_WORDS = (count, duration, size, value, share, last_part, unbroken, number_of)
IN_CHINESE = (chinese, error_in_chinese, sample_in_chinese)
