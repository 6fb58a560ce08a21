"""The demo: a small GPT learns to tell stories of a small world, whose rules are known, in about a minute.

Because the rules are known, it can be said how many of its stories are consistent (what was lost is what is found, who
left is who returns) and new (none of those it was trained on).
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xinye.cache import cache_folder
from xinye.checkpoints.load import load_model
from xinye.demo.stories import check, stories
from xinye.errors import checked
from xinye.generation.decoder import prepare_decoder
from xinye.generation.generate import generate, start
from xinye.generation.sampling import Sampling
from xinye.machine import device
from xinye.planning.settings import PretrainSettings
from xinye.studies.rehearsal import Passing
from xinye.training import clock
from xinye.training.pretrain import Run, pretrain
from xinye.watcher import Watcher

STORIES = 20_000
SHORTEST, ENOUGH, LONGEST = 45, 450, 120  # seconds, steps that suffice, seconds
TEMPERATURE = 0.6


@dataclass(frozen=True)
class Told:
    """Stories that a model told: the texts, and for each what is wrong with it, None where nothing is."""

    texts: list[str]
    faults: list[str | None]

    @property
    def good(self) -> int:
        """How many are consistent and new."""
        return sum(fault is None for fault in self.faults)


def story_file(language: str) -> Path:
    """The training stories of a language as JSON lines, written to the cache on first use."""
    path = cache_folder() / "demo" / f"stories-{language}-{STORIES}.jsonl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        lines = (
            json.dumps({"text": text}, ensure_ascii=False) for text in stories(STORIES, language)
        )
        beside.write_text("\n".join(lines) + "\n", "utf-8")
        beside.replace(path)
    return path


def suitable_time(files: Sequence[str], language: str, watcher: Watcher) -> str:
    """How long to train here: until enough steps are taken, but not for ever."""
    prepare_decoder(device(), watcher)
    watcher.stage("finding out how fast this machine is")
    passing = Passing(Watcher())
    pretrain(demo_settings(files, language, f"{LONGEST}s", None), passing, dry_run=True)
    seconds = LONGEST * ENOUGH / passing.values["steps"]
    return f"{round(min(max(seconds, SHORTEST), LONGEST))}s"


def demo(
    files: Sequence[str],
    language: str,
    time: str,
    output: Path,
    watcher: Watcher,
    overwrite: bool,
    began: float | None,
) -> Run:
    """Train on the story world, or on files of one's own; the size suits the time, which counts from `began`."""
    begin = clock.now()
    settings = demo_settings(files, language, time, output)
    if began is not None:  # the stories are written once: set-up, as compiling is
        began += clock.now() - begin
    run = pretrain(settings, watcher, overwrite, began=began)
    assert run is not None
    return run


def demo_settings(
    files: Sequence[str], language: str, time: str, output: Path | None
) -> PretrainSettings:
    values = {
        "files": tuple(files) or (str(story_file(language)),),
        "output": output,
        "size": "1M",
        "time": time,
        "evaluations": 14,
        "compile": "no",
    }
    return checked(PretrainSettings, values, "demo")


def tell(run: Path, language: str, count: int, seed: int = 0) -> Told:
    """Let a model tell stories, and check each."""
    model, tokenizer = load_model(run)
    model.to(device())
    known = set(stories(STORIES, language))
    sampling = Sampling(
        max_tokens=model.config.max_position_embeddings - 1, temperature=TEMPERATURE, seed=seed
    )
    context = model.config.max_position_embeddings
    sequences = [start(tokenizer, "", context, sampling, number) for number in range(count)]
    for _ in generate(model, tokenizer, sequences):
        pass
    texts = [sequence.text for sequence in sequences]
    faults = [check(text, language) or ("told before" if text in known else None) for text in texts]
    return Told(texts, faults)
