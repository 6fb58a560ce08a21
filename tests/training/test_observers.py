"""Those that watch a run: what each is told at its beginning, and that all hear of its end."""

from pathlib import Path
from typing import Any

import pytest

from training.test_finetune import records, settings  # noqa: F401 a fixture
from xinye.training import session
from xinye.training.trackers import MetricsFile, Trackers
from xinye.training.train import finetune


def test_trackers_hear_of_the_end_also_where_the_disk_is_full(
    trained: Path,
    records: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[object] = []

    def full(observer: MetricsFile, outcome: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MetricsFile, "ended", full)
    monkeypatch.setattr(Trackers, "ended", lambda trackers, outcome: heard.append(outcome))
    with pytest.raises(OSError, match="No space left"):
        finetune(settings(trained, "run", epochs=1))
    assert len(heard) == 1


def test_a_tracker_is_told_each_count_by_its_name(
    trained: Path,
    records: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    described: dict[str, Any] = {}

    class Recording(Trackers):
        def __init__(self, names: Any, run: Any, config: Any, *others: Any) -> None:
            described.update(config)
            super().__init__((), run, config, *others)

    monkeypatch.setattr(session, "Trackers", Recording)
    finetune(settings(trained, "run", epochs=1))
    assert described["labels"] == 2 and not {"counts", "reasons"} & set(described)
