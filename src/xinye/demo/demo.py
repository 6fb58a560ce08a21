"""The demo: in about a minute a small GPT learns to write stories of a small world.

The rules of that world are known, so its stories can be checked: they are consistent (what was
lost is what is found, who left is who returns) and new (none of those it was trained on), or not.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from xinye.cache import cache_folder
from xinye.checkpoints.load import load_model
from xinye.data.files import write_json_lines
from xinye.demo.stories import check, stories
from xinye.errors import checked
from xinye.generation.decoder import prepare_decoder
from xinye.generation.engine import finish, start
from xinye.generation.sampling import Sampling
from xinye.machine import device
from xinye.observer import Observer
from xinye.planning.settings import PretrainSettings
from xinye.studies.shared import QuietObserver
from xinye.training import clock
from xinye.training.job import Run
from xinye.training.train import pretrain

STORIES = 20_000
SHORTEST, ENOUGH, LONGEST = 45, 450, 120  # seconds, steps that suffice, seconds
TEMPERATURE = 0.6


def story_file(language: str) -> Path:
    """The training stories of a language as JSON lines, written to the cache on first use."""
    path = cache_folder() / "demo" / f"stories-{language}-{STORIES}.jsonl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")  # two demos may begin at once
        write_json_lines(beside, ({"text": text} for text in stories(STORIES, language)))
        beside.replace(path)
    return path


@dataclass(frozen=True)
class Demo:
    """A training on the story world of a language, or on files of one's own."""

    files: tuple[str, ...]
    language: str

    def settings(self, time: str, output: Path | None = None) -> PretrainSettings:
        values = {
            "files": self.files or (str(story_file(self.language)),),
            "output": output,
            "size": "1M",
            "time": time,
            "evaluations": 14,
            "compile": "no",
        }
        return checked(PretrainSettings, values, "demo")

    def suitable_time(self, observer: Observer) -> str:
        """How long to train here: until enough steps are taken, but not for ever."""
        prepare_decoder(device(), observer)
        observer.stage("finding out how fast this machine is")
        observer = QuietObserver(Observer())
        pretrain(self.settings(f"{LONGEST}s"), observer, dry_run=True)
        seconds = LONGEST * ENOUGH / observer.values["steps"]
        return f"{round(min(max(seconds, SHORTEST), LONGEST))}s"

    def train(
        self, time: str, output: Path, observer: Observer, overwrite: bool, began: float | None
    ) -> Run:
        """Train for a time, which counts from `began`, or else from now."""
        begin = clock.now()
        settings = self.settings(time, output)
        if began is not None:  # the stories are written once: set-up, as compiling is
            began += clock.now() - begin
        run = pretrain(settings, observer, overwrite, began=began)
        assert run is not None
        return run


@dataclass(frozen=True)
class Stories:
    """Stories that a model wrote, and for each what is wrong with it, None where nothing is."""

    texts: list[str]
    faults: list[str | None]

    @property
    def good(self) -> list[str]:
        """Those that are consistent and new."""
        return [text for text, fault in zip(self.texts, self.faults, strict=True) if not fault]


def write_stories(run: Path, language: str, count: int) -> Stories:
    """Let a model write stories, and check each."""
    model, tokenizer = load_model(run)
    model.to(device())
    known = set(stories(STORIES, language))
    context = model.config.max_position_embeddings
    sampling = Sampling(max_tokens=context - 1, temperature=TEMPERATURE, seed=0)
    sequences = [start(tokenizer, "", context, sampling, number) for number in range(count)]
    texts = [sequence.text for sequence in finish(model, tokenizer, sequences)]
    copied = {text: "told before" for text in texts if text in known}
    return Stories(texts, [check(text, language) or copied.get(text) for text in texts])
