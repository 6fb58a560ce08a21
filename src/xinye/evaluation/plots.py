"""Draws charts as SVG with matplotlib.

Text stays text, so the reader's own fonts show Chinese, and takes the page's colour, so a chart is
readable on a dark page.
"""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xinye.data.files import written_beside
from xinye.libraries import need

COLOURS = ("#2e8b57", "#c2571a", "#4a6fd0", "#b8457f", "#8a7a12", "#3a9aa8")
_TEXT = "#010203"  # a placeholder for "currentColor", which matplotlib does not know
_GRID = "#808182"

Line = tuple[Sequence[float], Sequence[float]]  # x values, y values


def line(rows: Sequence[Mapping[str, Any]], x: str, y: str) -> Line:
    """The values of two columns, as a line to draw."""
    return [row[x] for row in rows], [row[y] for row in rows]


@dataclass(frozen=True)
class Look:
    """Options of a line chart."""

    size: tuple[float, float] = (7.0, 3.6)  # inches
    colours: Mapping[str, str] = field(default_factory=dict)  # colours of lines, by name
    # heights of horizontal lines, by name
    levels: Mapping[str, float] = field(default_factory=dict)
    reach: float | None = None  # the end of the x axis, which begins at 0
    marked: tuple[float, str] | None = None  # an x value to mark, and its name


def line_chart(
    series: Mapping[str, Line],
    x_label: str,
    y_label: str,
    log_x: bool = False,
    look: Look | None = None,
    points: Mapping[str, Line] | None = None,
) -> str:
    """A chart of named lines, each with x and y values, as SVG. `points` are drawn without a line,
    in the colour of the line with the same name.

    Raises `XinyeError` if matplotlib is not installed.
    """
    look = look or Look()
    figure, axes = _axes(look.size)
    for (name, (x, y)), usual in zip(series.items(), COLOURS * len(series), strict=False):
        colour = look.colours.get(name, usual)
        width, marker = 1.6, "o" if len(x) < 25 else ""
        if len(x) == 1:  # a single point is not a line
            width, marker = 0, "s"
        axes.plot(x, y, label=name, color=colour, linewidth=width, marker=marker, markersize=3)
        if points and name in points:
            axes.plot(*points[name], "o", color=colour, markersize=5)
    for (name, height), dashes in zip(look.levels.items(), ("--", ":"), strict=False):
        colour = look.colours.get(name, _GRID)
        axes.axhline(height, label=name, color=colour, linewidth=1.4, linestyle=dashes)
    if log_x:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    if look.reach is not None:
        axes.set_xlim(0, 1.02 * look.reach)  # leaves room to show the last point
    if look.marked:
        _mark(axes, *look.marked)
    axes.set_ylabel(y_label)
    axes.grid(color=_GRID, alpha=0.25, linewidth=0.6)
    return _svg(figure, axes, x_label, legend=len(series) + len(look.levels) > 1)


def _mark(axes: Any, x: float, name: str) -> None:
    """A vertical line with its name above it, on the side with more room."""
    axes.axvline(x, color=_TEXT, linewidth=1, linestyle=(0, (1, 2)))
    side = "right" if x > sum(axes.get_xlim()) / 2 else "left"
    place = (x, 1.02)
    axes.annotate(name, place, xycoords=axes.get_xaxis_transform(), ha=side, color=_TEXT)


def bar_chart(values: Mapping[str, float], x_label: str) -> str:
    """Horizontal bars by name, the first on top, each with its value next to it, as SVG."""
    return grouped_bar_chart({name: {"": value} for name, value in values.items()}, x_label)


def grouped_bar_chart(groups: Mapping[str, Mapping[str, float]], x_label: str) -> str:
    """Horizontal bars in named groups, as SVG. All groups have the same names of values."""
    names = list(next(iter(groups.values())))
    height = 0.8 / len(names)
    figure, axes = _axes((7.0, 0.9 + (0.14 + 0.24 * len(names)) * len(groups)))
    for row, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        places = [group - 0.4 + (row + 0.5) * height for group in range(len(groups))]
        values = [group[name] for group in groups.values()]
        bars = axes.barh(places, values, height=0.9 * height, label=name, color=colour)
        axes.bar_label(bars, fmt="%.3g", padding=4, color=_TEXT)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.margins(x=0.14)
    return _svg(figure, axes, x_label, legend=len(names) > 1)


def save_chart(svg: str, path: Path) -> None:
    """Write a chart to a file that is readable on light and dark backgrounds."""
    style = "<style>@media (prefers-color-scheme: dark) { svg { color: #ddd } }</style>"
    with written_beside(path) as beside:
        beside.write_text(svg.replace(">", f">{style}", 1), "utf-8")


def _axes(size: tuple[float, float]) -> tuple[Any, Any]:
    need("a chart", "matplotlib")
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GRID)
    axes.tick_params(colors=_TEXT)
    axes.xaxis.label.set_color(_TEXT)
    axes.yaxis.label.set_color(_TEXT)
    return figure, axes


def _svg(figure: Any, axes: Any, x_label: str, legend: bool) -> str:
    import matplotlib

    axes.set_xlabel(x_label)
    if legend:
        axes.legend(frameon=False, labelcolor=_TEXT)
    out = io.StringIO()
    with (
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "xinye"}),
        warnings.catch_warnings(),
    ):
        # the reader's fonts have these glyphs
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(out, format="svg", transparent=True)
    svg = re.sub(r"(?s) *<metadata>.*?</metadata>\n", "", out.getvalue())
    return svg[svg.index("<svg") :].replace(_TEXT, "currentColor")
