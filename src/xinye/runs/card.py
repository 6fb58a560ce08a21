"""The model card of a run: the README.md that the hub shows, so that the folder can be shared as it
is.

Its text is in `card.md.jinja`, or for a model of a task in `card_task.md.jinja`. For a model that
writes Chinese, `card_zh.md.jinja` comes first. File names, labels and texts of the model are
written as code, in which Markdown has no effect.
"""

import re
from pathlib import Path

from xinye.runs.diagnosis import diagnose
from xinye.runs.report import IN_CHINESE, IN_WORDS, texts, write_page
from xinye.runs.saved import SavedRun

CARD = "README.md"  # in the folder of a model
OURS = "<!-- written by xinye;"
MARK = f"{OURS} delete this line to keep your own changes -->"
# Control characters, and those that change the direction of the text after them.
_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
WEIGHTS = ("adapter_model.safetensors", "model.safetensors")
# the name of the architecture in other tools
LIBRARIES = {
    "modern": "Qwen3",
    "llama": "Llama",
    "gpt2": "GPT-2",
}


def write_card(run: SavedRun, merged: Path | None = None) -> bool:
    """Write `README.md` into the model's folder, or into `merged`, where the run's adapter was
    merged with its base. A card that the user wrote or changed is not replaced.

    Returns whether the card was written.
    """
    folder = merged or run.folder
    path = folder / CARD
    weights = next((file for name in WEIGHTS if (file := folder / name).is_file()), None)
    if weights is None or (path.exists() and not is_ours(path)):
        return False
    adapter = run.settings.method
    problems = [finding.says for finding in diagnose(run) if finding.advice.en]
    write_page(
        path,
        "card_task.md.jinja" if run.task else "card.md.jinja",
        escape=False,
        filters=(code, plain, block, names_only, *IN_WORDS, *IN_CHINESE),
        run=run,
        mark=MARK,
        name=folder.absolute().name,
        languages=languages(run),
        weights=weights.stat().st_size,
        problems=[problem.en for problem in problems],
        problems_zh=[problem.zh for problem in problems],
        sample=next(iter(texts(run)), "").strip()[:600],
        known_as=LIBRARIES.get(run.architecture),
        adapter=None if merged or adapter in ("full", "head") else adapter,
        merged=merged is not None,
        labels=list(run.about.data.counts) if run.words.has_labels else [],
        command=run.words.command.replace("{folder}", "FOLDER") or f"xinye {run.task} FOLDER",
    )
    return True


def is_ours(path: Path) -> bool:
    """Whether a file is a card that Xinye may replace: it still has Xinye's mark."""
    try:
        return path.is_file() and OURS in path.read_text("utf-8", errors="replace")
    except OSError:
        return False


def languages(run: SavedRun) -> list[str]:
    """The languages that the model writes, by their names on the hub. A language counts if it has
    more than a tenth of the Chinese characters and Latin words."""
    text = "".join(texts(run)) + "".join(record.get("sample") or "" for record in run.validations)
    chinese, latin = (
        len(re.findall(r"[\u3400-\u9fff]", text)),
        len(re.findall(r"[A-Za-z]{2,}", text)),
    )
    return [
        name for name, count in (("zh", chinese), ("en", latin)) if count > 0.1 * (chinese + latin)
    ]


def names_only(sentence: str) -> str:
    """A sentence without the folders of files in it, because a shared card should not reveal
    them."""
    return re.sub(r"(?<![\w.])[^\s,;:'\"(（]*[/\\](?=[^/\\\s])", "", _NO_TEXT.sub(" ", sentence))


def code(text: str) -> str:
    """A text as code within a line of Markdown."""
    text = " ".join(_NO_TEXT.sub(" ", text).split())
    fence = "`" * (_longest_run(text) + 1)
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`"


def plain(text: str) -> str:
    """A name within a line or a table of Markdown."""
    text = " ".join(_NO_TEXT.sub(" ", text).split())
    return text.replace("<", "&lt;").replace("|", "\\|")


def block(text: str) -> str:
    """A text of several lines as a block of code in Markdown."""
    text = _NO_TEXT.sub("", text)
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}text\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
