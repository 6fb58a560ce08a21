"""`xinye monitor prepare`, `run`, `replay`, `evaluate` and `improve` as a person meets them."""

import json
import random
import shutil
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from xinye.apps import training
from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.queries import Filter

SAID = {  # texts by topic, each with its mood
    "物流": (("快递太慢了", "负面"), ("包裹昨天到了", "中性"), ("发货很快", "正面")),
    "质量": (("杯子裂了", "负面"), ("是玻璃的", "中性"), ("做工很好", "正面")),
}


def labelled(count: int) -> str:
    chance, rows = random.Random(0), ["正文,主题,情感"]
    for number in range(count):
        topic = chance.choice([*SAID])
        text, mood = chance.choice(SAID[topic])
        rows.append(f"{text}，第{number}号{chance.choice('甲乙丙丁戊己庚辛')}店,{topic},{mood}")
    return "\n".join(rows) + "\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("monitor")


@pytest.fixture(scope="module")
def made(place: Path, cache: Path) -> Path:
    """A monitor that has learned for a moment."""
    from xinye.cli.main import main

    (place / "labelled.csv").write_text(labelled(100), "utf-8")
    command = ["monitor", "prepare", str(place / "labelled.csv"), "--time", "2s"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "FEWEST_STEPS", 5)
        assert main([*command, "-o", str(place / "made")]) == 0
    return place / "made"


@pytest.fixture
def monitor(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "monitor"))


def test_a_monitor_is_a_folder_that_people_edit(made: Path) -> None:
    found = MonitorFolder.read(made)
    assert found.models.keys() == {"topics", "mood"}
    assert found.report["trained"]["mood"]["baseline"] is not None
    assert len(found.labelled) + len(found.test) == 100
    assert found.settings.time_zone == "Asia/Shanghai"
    assert "每周允许的误报次数" in (made / "monitor.toml").read_text("utf-8")


def test_documents_are_counted_once(xinye, monitor: Path, tmp_path: Path) -> None:
    news = tmp_path / "news.jsonl"
    rows = [{"id": at, "text": f"杯子裂了，第{at}号店，消息{at * 7919}"} for at in range(20)]
    news.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    command = ("monitor", "run", monitor, "--source", news, "--store", tmp_path / "m.db", "--json")
    first = json.loads(xinye(*command).out)
    assert first["new"] + first["repeats"] == 20
    with news.open("a", encoding="utf-8") as file:
        file.write('\n{"id": 99, "text": "发货很快，很满意，会再来"}\n')
    second = json.loads(xinye(*command).out)
    assert (second["new"] + second["repeats"], second["known"]) == (1, 20)


def test_the_past_is_replayed(xinye, monitor: Path, tmp_path: Path) -> None:
    chance, begin = random.Random(0), datetime(2024, 3, 1, tzinfo=UTC)
    times = [begin + timedelta(hours=hour + chance.random()) for hour in range(24 * 20)]
    times += [begin + timedelta(days=15, minutes=at) for at in range(60)]
    past = tmp_path / "past.jsonl"
    rows = [
        {"text": f"{chance.getrandbits(80):x} 快递太慢了 {at}", "published": time.isoformat()}
        for at, time in enumerate(times)
    ]
    past.write_text("\n".join(json.dumps(row) for row in [*rows, {"text": "没有日期"}]), "utf-8")
    settings = monitor / "monitor.toml"
    text = settings.read_text("utf-8").replace("[companies]", '[companies]\n"快递" = []')
    settings.write_text(text, "utf-8")
    found = json.loads(xinye("monitor", "replay", monitor, past, "--json").out)
    [alert] = [each for each in found["alerts"] if each["kind"] == "company"]
    assert alert["subject"] == "快递" and found["undated"] == 1
    assert 0 <= alert["opened"] - (begin + timedelta(days=15)).timestamp() < 3600


def test_it_is_tested_and_improved(xinye, monitor: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(training, "FEWEST_STEPS", 5)
    found = json.loads(xinye("monitor", "evaluate", monitor, "--json").out)
    assert found.keys() == {"topics", "mood"} and found["mood"]["baseline"] is not None
    news = tmp_path / "news.jsonl"
    news.write_text(json.dumps({"id": 1, "text": "壶嘴断了一截"}), "utf-8")
    store = tmp_path / "m.db"
    xinye("monitor", "run", monitor, "--source", news, "--store", store)
    nothing = xinye("monitor", "improve", monitor, "--store", store)
    assert "no approved correction is new" in nothing.complaint
    with closing(Monitor(store)) as opened:
        [document] = opened.documents.find(Filter())
        [number] = opened.corrections.correct(document.number, "李", mood="negative")
        opened.corrections.approve(number, "王")
    command = ("monitor", "improve", monitor, "--store", store, "--time", "2s", "--json")
    improved = json.loads(xinye(*command).out)
    assert improved["texts"] == 1 and improved["before"].keys() == {"mood"}
    better = improved["after"]["mood"]["score"] > improved["before"]["mood"]["score"]
    assert bool(improved["kept"]) == better
    texts = {each.text for each in MonitorFolder.read(monitor).labelled}
    assert ("壶嘴断了一截" in texts) == better


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "{monitor}", "--source", "nowhere"), "--source nowhere: there is no such file"),
        (("run", "nowhere", "--source", "-"), "nowhere: there is no such folder"),
        (("prepare", "a.csv", "-o", "{monitor}"), "this folder already exists"),
        (("prepare", "a.csv", "-o", "b", "--time", "soon"), "'soon' is not a duration"),
        (("prepare", "a.csv", "-o", "b", "--role", "moods=x"), "did you mean 'mood'"),
    ],
)
def test_what_is_refused(
    xinye, monitor: Path, workplace, arguments: tuple[str, ...], said: str
) -> None:
    Path("a.csv").write_text(labelled(10), "utf-8")
    given = [each.format(monitor=monitor) for each in arguments]
    store = ["--store", "m.db"] if given[0] == "run" else []
    assert said in xinye("monitor", *given, *store).complaint
