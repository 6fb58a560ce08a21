"""What was told is read back, with each tracker's own reader; what fails is one warning."""

import json
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter
from wandb.proto.wandb_internal_pb2 import Record

from xinye.demo.stories import stories
from xinye.libraries import install_command
from xinye.observer import Evaluated
from xinye.planning.settings import TRACKERS, PretrainSettings
from xinye.training import session
from xinye.training.job import Run
from xinye.training.loop import Step
from xinye.training.trackers import Trackers, warn_of_missing
from xinye.training.train import pretrain

CONFIG = {
    "size": "1M",
    "files": ["红楼梦.txt", "en.txt"],
    "learning_rate": 0.01,
    "compile": False,
    "prompt": "",
}
SAMPLE = "从前，小兔 <b>豆豆</b> 说：\n“你好！” & so on"
RESULT = Run("runs/a", 9000, 4, 400, 1.0, 400.0, 0.1, {"loss": 2.0, "bits_per_byte": 1.5})

Figures = dict[str, dict[int, float]]  # by name and step


def step(number: int, loss: float) -> Step:
    return Step(number, loss, 0.5, 1.0, 100, 0.25, 0.0, 0.0, 0.0, 0.0)


def validation(number: int) -> Evaluated:
    return Evaluated("validation", number, 1.0, SAMPLE, {"loss": 6.5, "bits_per_byte": 1.6})


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run told to all of them: killed after step 3, resumed from the checkpoint of step 2, and
    finished at step 4."""
    run = tmp_path_factory.mktemp("my [run] 新叶 100%")
    (run / "training").mkdir()
    warnings: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "WANDB_MODE",
            "WANDB_PROJECT",
            "MLFLOW_TRACKING_URI",
            "MLFLOW_EXPERIMENT_NAME",
        ):
            patch.delenv(name, raising=False)
        trackers = Trackers(TRACKERS, run, CONFIG, 0, warnings.append)
        for number in (1, 2, 3):
            trackers.step(step(number, 10.0 - number), 4)
        trackers.ended(KeyboardInterrupt())
        trackers = Trackers(TRACKERS, run, CONFIG, 2, warnings.append)
        trackers.step(step(3, 7.0), 4)
        trackers.evaluated(validation(3))
        trackers.step(step(4, float("nan")), 4)
        trackers.refused(4, ["其文有误"])
        trackers.ended(RESULT)
    assert warnings == []
    yield run


def read_tensorboard(run: Path) -> tuple[Figures, str, dict[str, str]]:
    events = EventAccumulator(str(run / "training" / "tensorboard"))
    events.Reload()
    figures = {
        name: {each.step: each.value for each in events.Scalars(name)}
        for name in events.Tags()["scalars"]
    }
    [sample] = events.Tensors("sample/text_summary")
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    values = HParamsPluginData.FromString(content).session_start_info.hparams
    config = {name: str(getattr(value, value.WhichOneof("kind"))) for name, value in values.items()}
    return figures, sample.tensor_proto.string_val[0].decode(), config


def read_wandb(run: Path) -> tuple[Figures, str, dict[str, str]]:
    folder = run / "training" / "wandb"
    figures: Figures = {}
    config: dict[str, str] = {}
    ids = set()
    for path in sorted(
        folder.glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns
    ):
        for record in wandb_records(path):
            if record.HasField("run"):
                ids.add(record.run.run_id)
                config |= {
                    each.key: str(json.loads(each.value_json)) for each in record.run.config.update
                }
            items = {
                "/".join(each.nested_key) or each.key: each.value_json
                for each in record.history.item
            }
            for name, value in items.items():
                if not name.startswith(("_", "sample")):
                    figures.setdefault(name, {})[int(items["_step"])] = float(json.loads(value))
    assert len(ids) == 1, "the resumed run is the same run"
    [page] = folder.glob("offline-run-*/files/media/html/*.html")
    return figures, page.read_text("utf-8"), config


def wandb_records(path: Path) -> list[Record]:
    """The records of a finished run: a process of its own writes them, the last a moment after we
    are done."""
    until = time.monotonic() + 60
    while not (records := list(parse_wandb(path.read_bytes()))) or not records[-1].HasField("exit"):
        assert time.monotonic() < until
        time.sleep(0.02)
    return records


def parse_wandb(data: bytes) -> Iterator[Record]:
    """The records of a .wandb file as far as it is written: a log of LevelDB's, with 7 bytes before
    it."""
    at, whole = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # nothing fits into the rest of a block
            at += 32768 - at % 32768
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        whole, at = whole + data[at + 7 : at + 7 + size], at + 7 + size
        if at > len(data):
            return
        if kind in (1, 4):  # the whole of a record, or its last part
            yield Record.FromString(whole)
            whole = b""


def read_mlflow(run: Path) -> tuple[Figures, str, dict[str, str]]:
    client = MlflowClient(f"sqlite:///{run}/training/mlflow.db")
    experiment = client.get_experiment_by_name("xinye")
    assert experiment is not None
    [found] = client.search_runs([experiment.experiment_id])  # the resumed run is the same run
    assert found.info.status == "FINISHED"
    figures: Figures = {}
    for name in found.data.metrics:
        history = sorted(
            client.get_metric_history(found.info.run_id, name), key=lambda metric: metric.timestamp
        )
        # of two with one step, the later
        figures[name] = {metric.step: metric.value for metric in history}
    [artifact] = client.list_artifacts(found.info.run_id, "samples")
    sample = (
        run / "training" / "mlflow" / found.info.run_id / "artifacts" / artifact.path
    ).read_text("utf-8")
    return figures, sample, found.data.params


READERS: dict[str, Callable[[Path], tuple[Figures, str, dict[str, str]]]] = {
    "tensorboard": read_tensorboard,
    "wandb": read_wandb,
    "mlflow": read_mlflow,
}


@pytest.mark.parametrize("name", TRACKERS)
def test_what_was_told_is_read_back(told: Path, name: str) -> None:
    figures, sample, config = READERS[name](told)
    assert str(figures["training/loss"]) == "{1: 9.0, 2: 8.0, 3: 7.0, 4: nan}"
    assert figures["training/tokens_per_second"] == dict.fromkeys(range(1, 5), 400.0)
    assert figures["training/gradient_norm"][2] == 0.5 and figures["training/rate_factor"][2] == 1.0
    assert figures["validation/loss"] == {3: 6.5}
    assert figures["validation/bits_per_byte"] == {3: pytest.approx(1.6)}
    assert figures["result/bits_per_byte"] == {4: 1.5} and figures["result/steps"] == {4: 4.0}
    assert (sample == SAMPLE) if name != "wandb" else ("小兔 &lt;b&gt;豆豆&lt;/b&gt; 说" in sample)
    expected = {key: str(value) for key, value in CONFIG.items()}
    assert {key: value for key, value in config.items() if key in CONFIG} == expected


@pytest.mark.parametrize("name", TRACKERS)
def test_one_that_is_not_installed_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    warnings: list[str] = []
    warn_of_missing([name], warnings.append)
    assert warnings == [
        f"--track {name}: it needs {name}, to install with {install_command(name)}; training continues without it"
    ]
    (tmp_path / "training").mkdir()
    assert warnings_of(name, tmp_path) == []  # it was said before


@pytest.mark.parametrize(
    "name, environment",
    [
        ("tensorboard", {}),
        (
            "wandb",
            {
                "WANDB_MODE": "online",
                "WANDB_API_KEY": "",
                "NETRC": "none",
                "WANDB_BASE_URL": "http://127.0.0.1:9",
            },
        ),
        (
            "mlflow",
            {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
        ),
    ],
)
def test_one_that_cannot_be_reached_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, environment: dict[str, str]
) -> None:
    (tmp_path / "training").mkdir()
    if name == "tensorboard":
        (tmp_path / "training" / name).touch()  # where its folder should be
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    [warning] = warnings_of(name, tmp_path)
    assert warning.startswith(f"--track {name}: ") and warning.endswith(
        "; training continues without it"
    )
    assert "\n" not in warning


def test_one_that_fails_later_is_left_out_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "training").mkdir()
    warnings: list[str] = []
    trackers = Trackers(["tensorboard", "wandb"], tmp_path, CONFIG, 0, warnings.append)
    trackers.step(step(1, 9.0), 4)
    with monkeypatch.context() as patch:
        patch.setattr(SummaryWriter, "add_scalar", lambda *_: Path("/nowhere/at/all").touch())
        trackers.evaluated(validation(2))
    trackers.evaluated(validation(3))
    trackers.ended(KeyboardInterrupt())
    assert len(warnings) == 1 and "--track tensorboard: [Errno 2]" in warnings[0]
    [path] = (tmp_path / "training" / "wandb").glob("offline-run-*/*.wandb")
    assert sum(record.HasField("history") for record in wandb_records(path)) == 3


def warnings_of(name: str, run: Path) -> list[str]:
    """What is warned of while a run is told."""
    warnings: list[str] = []
    trackers = Trackers([name], run, CONFIG, 0, warnings.append)
    trackers.step(step(1, 9.0), 4)
    trackers.ended(RESULT)
    return warnings


def test_a_run_tells_its_plan_and_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    class Listening(Trackers):
        def __init__(self, names: Any, run: Path, config: dict[str, Any], *more: Any) -> None:
            told.update(config)
            super().__init__((), run, config, *more)

    monkeypatch.setattr(session, "Trackers", Listening)
    (tmp_path / "text.txt").write_text("\n\n".join(stories(20, "zh")), "utf-8")
    values = {"size": "250k", "tokenizer": "char", "layers": 1, "width": 32, "context": 32}
    run = {"files": (str(tmp_path / "text.txt"),), "output": tmp_path / "run", "steps": 2}
    pretrain(PretrainSettings(**values, **run, compile="no", track=("tensorboard",)))
    assert (told["files"], told["size"], told["seed"]) == ([run["files"][0]], "250k", 0)
    assert told["optimizer"] == "muon" and told["steps"] == 2 and told["parameters"] > 1000
