"""Turns the exports of annotation tools into plain rows: the text in one field, its annotations in
others.

Label Studio's JSON export is brought into the form of its JSON-MIN export: the fields of a task's
data, and the result of each control keyed by its name. Choices of Prodigy and of old versions of
doccano become a field `label`.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.errors import XinyeError

LABEL_STUDIO = "Label Studio"
# fields that Label Studio's JSON-MIN adds to the data
OF_LABEL_STUDIO = (
    "id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time",
)  # fmt: skip
SEVERAL = "several annotations of one text: the one marked as ground truth is read, else the first"


class Annotated(NamedTuple):
    """A row, the tool that wrote it ("" if unknown), and the fields that hold choices (None if the
    tool does not say).
    """

    row: Row
    tool: str = ""
    choices: frozenset[str] | None = None


def annotated(row: Row, place: str, notes: Notes) -> Annotated | None:
    """The row of any annotation tool as a plain row, or None if it was not annotated. Raises
    `XinyeError` for annotations that Label Studio would not export.
    """
    # old versions call it "completions"
    annotations = row.get("annotations", row.get("completions"))
    if isinstance(row.get("data"), dict) and isinstance(annotations, list):
        try:
            return _of_label_studio(row["data"], annotations, place, notes)
        except (AttributeError, KeyError, TypeError, ValueError):
            shown = json.dumps(annotations, ensure_ascii=False)[:60]
            what = "expected annotations as Label Studio exports them"
            raise XinyeError(f"{place}: {what}, found {shown}") from None
    if {"annotation_id", "lead_time"} <= row.keys():
        kept = {name: row[name] for name in row if name not in OF_LABEL_STUDIO}
        return Annotated({name: _choices(value) for name, value in kept.items()}, LABEL_STUDIO)
    if isinstance(row.get("accept"), list) and "options" in row:
        return Annotated(row | {"label": row["accept"]}, "Prodigy", frozenset({"label"}))
    if isinstance(annotations, list) and annotations and all(map(_is_label, annotations)):
        labels = [each["label"] for each in annotations]
        return Annotated(row | {"label": labels}, "doccano", frozenset({"label"}))
    return Annotated(row)


def _of_label_studio(
    data: Row, annotations: list[Row], place: str, notes: Notes
) -> Annotated | None:
    """A Label Studio task with the results of one annotation, or None if there is none."""
    chosen = _chosen(annotations, place, notes)
    if chosen is None:
        return None
    results, choices = _results(chosen, place, notes)
    return Annotated(data | results, LABEL_STUDIO, choices)


def _chosen(annotations: list[Row], place: str, notes: Notes) -> Row | None:
    """The annotation of a task that is used, or None."""
    valid = []
    for each in annotations:
        if each.get("was_cancelled") or each.get("skipped"):
            notes.add(place, "a cancelled annotation is left out")
        else:
            valid.append(each)
    if not valid:
        notes.add(place, "a text without an annotation is left out")
        return None
    if len(valid) > 1:
        notes.add(place, SEVERAL)
    return next((each for each in valid if each.get("ground_truth")), valid[0])


def _results(annotation: Row, place: str, notes: Notes) -> tuple[Row, frozenset[str]]:
    """The results by control, and the controls that hold choices. Spans become objects with start,
    end and labels.
    """
    found: Row = {}
    choices = set()
    for name, kind, value in _values(annotation):
        if "start" in value and kind in value:
            found.setdefault(name, []).append(value | {"labels": value[kind]})
        elif kind == "choices" and "start" not in value:
            chosen = value[kind] if isinstance(value[kind], list) else [value[kind]]
            found.setdefault(name, []).extend(chosen)
            choices.add(name)
        else:
            notes.add(place, f"results of the kind {kind!r} are not read")
    return found, frozenset(choices)


def _values(annotation: Row) -> Iterator[tuple[str, str, Row]]:
    """The control, kind and value of each result; a relation only has a kind."""
    for result in annotation.get("result", []):
        yield result.get("from_name", ""), result.get("type", ""), result.get("value", {})


def _choices(value: Any) -> Any:
    """The list in JSON-MIN's object for several choices; any other value unchanged."""
    return value["choices"] if isinstance(value, dict) and "choices" in value else value


def _is_label(annotation: Any) -> bool:
    """True for the label of a whole text, as old versions of doccano write it."""
    labelled = isinstance(annotation, dict) and "label" in annotation
    return labelled and "start_offset" not in annotation
