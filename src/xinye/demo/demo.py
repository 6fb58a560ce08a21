"""The demo: in about a minute, a small GPT learns to write stories of a small world.

The rules of that world are known, so its stories can be checked. A story is consistent if what was
lost is found and who left returns, and new if it is not among the training stories.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from xinye.cache import cache_folder
from xinye.checkpoints.load import load_model
from xinye.data.files import write_json_lines
from xinye.demo.stories import check, stories
from xinye.errors import checked
from xinye.generation.engine import finish, start
from xinye.generation.sampling import Sampling
from xinye.machine import device
from xinye.native.library import prepare_library
from xinye.observer import Observer
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import parse_time
from xinye.studies.shared import QuietObserver
from xinye.training import clock
from xinye.training.guards import repeatable
from xinye.training.job import Run
from xinye.training.train import pretrain

STORIES = 20_000  # at most
PER_SECOND = 500  # stories for a second of training, which reads fewer
# shortest time in seconds, enough steps, longest time in seconds
SHORTEST, ENOUGH, LONGEST = 45, 450, 120
TEMPERATURE = 0.6


def story_count(time: str) -> int:
    """How many stories are learned from in a time such as "10s". Of a short time, tokenizing all of
    them would take most."""
    return min(STORIES, max(1, round(PER_SECOND * parse_time(time))))


def story_file(language: str, count: int) -> Path:
    """The file of so many training stories in a language, written to the cache on first use."""
    path = cache_folder() / "demo" / f"stories-{language}-{count}.jsonl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        # two demos may start at the same time
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        write_json_lines(beside, ({"text": text} for text in stories(count, language)))
        beside.replace(path)
    return path


@dataclass(frozen=True)
class Demo:
    """A training run on the stories of a language, or on the user's own files."""

    files: tuple[str, ...]
    language: str

    def settings(self, time: str, output: Path | None = None) -> PretrainSettings:
        """The settings of the run."""
        values = {
            "files": self.files or (str(story_file(self.language, story_count(time))),),
            "output": output,
            "size": "1M",
            "time": time,
            "evaluations": 14,
            "compile": "no",
        }
        return checked(PretrainSettings, values, "demo")

    def suitable_time(self, observer: Observer) -> str:
        """The training time for this machine, such as "60s": until `ENOUGH` steps, within fixed
        limits.
        """
        prepare_library(device(), observer)
        observer.stage("finding out how fast this machine is")
        observer = QuietObserver(Observer())
        pretrain(self.settings(f"{LONGEST}s"), observer, dry_run=True)
        seconds = LONGEST * ENOUGH / observer.values["steps"]
        return f"{round(min(max(seconds, SHORTEST), LONGEST))}s"

    def train(
        self, time: str, output: Path, observer: Observer, overwrite: bool, began: float | None
    ) -> Run:
        """Train for a time, which counts from `began`, or from now."""
        begin = clock.now()
        settings = self.settings(time, output)
        with repeatable():
            pass  # the first time, this loads PyTorch's compiler, for seconds
        if began is not None:  # all this is set-up, as compiling is, and does not count
            began += clock.now() - begin
        run = pretrain(settings, observer, overwrite, began=began)
        assert run is not None
        return run


@dataclass(frozen=True)
class Stories:
    """Stories that a model wrote, each with its first fault, or None."""

    texts: list[str]
    faults: list[str | None]

    @property
    def good(self) -> list[str]:
        """The stories that are consistent and new."""
        return [text for text, fault in zip(self.texts, self.faults, strict=True) if not fault]


def write_stories(run: Path, language: str, count: int, known_count: int) -> Stories:
    """Let a model that learned from `known_count` stories write some, and check each."""
    model, tokenizer = load_model(run)
    model.to(device())
    known = set(stories(known_count, language))
    context = model.config.max_position_embeddings
    sampling = Sampling(max_tokens=context - 1, temperature=TEMPERATURE, seed=0)
    sequences = [start(tokenizer, "", context, sampling, number) for number in range(count)]
    texts = [sequence.text for sequence in finish(model, tokenizer, sequences)]
    copied = {text: "copied from the training stories" for text in texts if text in known}
    return Stories(texts, [check(text, language) or copied.get(text) for text in texts])
