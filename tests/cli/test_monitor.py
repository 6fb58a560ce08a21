"""`xinye monitor prepare`, `run`, `replay`, `evaluate` and `improve` as a person meets them."""

import json
import os
import random
import shutil
import time
from contextlib import closing, suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apps.monitor.conftest import documents_of
from xinye.apps import training
from xinye.apps.monitor import improve as improving
from xinye.apps.monitor.evaluate import Judged
from xinye.apps.monitor.learning import Learned, Parts, Trained
from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.queries import Filter
from xinye.cli.monitor import show_advice

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


def test_a_file_that_cannot_be_read_is_told_at_the_end(
    xinye, monitor: Path, tmp_path: Path
) -> None:
    bad, news = tmp_path / "bad.xlsx", tmp_path / "news.jsonl"
    bad.write_text("no workbook")
    news.write_text('{"text": "杯子裂了"}', "utf-8")
    command = ("monitor", "run", monitor, "--source", bad, "--source", news, "--json")
    done = xinye(*command, "--store", tmp_path / "m.db")
    assert json.loads(done.out)["new"] == 1
    assert done.code == 2 and done.err.count("bad.xlsx") == 1


def test_a_replay_that_was_interrupted_leaves_no_store(
    xinye, monitor: Path, tmp_path: Path, monkeypatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    past = tmp_path / "past.jsonl"
    past.write_text('{"text": "甲", "published": "2024-03-01"}', "utf-8")
    with monkeypatch.context() as patched:
        patched.setattr("xinye.apps.monitor.ingest.Ingest.add", interrupt)
        with suppress(KeyboardInterrupt):
            xinye("monitor", "replay", monitor, past, "--store", tmp_path / "past.db")
    assert not [*tmp_path.glob("*past.db*")]
    xinye("monitor", "replay", monitor, past, "--store", tmp_path / "past.db")
    assert (tmp_path / "past.db").exists() and (tmp_path / "past.db.key").exists()


def test_files_that_have_just_changed_are_replayed(xinye, monitor: Path, tmp_path: Path) -> None:
    folder = tmp_path / "past"
    folder.mkdir()
    for number, age in ((1, 3600), (2, 1.5)):
        file = folder / f"{number}.jsonl"
        file.write_text(f'{{"text": "第{number}条", "published": "2024-03-0{number}"}}', "utf-8")
        os.utime(file, (time.time() - age,) * 2)
    found = json.loads(xinye("monitor", "replay", monitor, folder, "--json").out)
    assert found["added"]["new"] == 2


def test_a_model_that_cannot_be_read_is_not_a_store_that_cannot_be_created(
    xinye, monitor: Path, tmp_path: Path, monkeypatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error", "model.safetensors")

    past = tmp_path / "past.jsonl"
    past.write_text('{"text": "甲", "published": "2024-03-01"}', "utf-8")
    monkeypatch.setattr(MonitorFolder, "summarizer", fail)
    said = xinye("monitor", "replay", monitor, past, "--store", tmp_path / "past.db").err
    assert "model.safetensors" in said and "cannot be created" not in said
    nowhere = tmp_path / "nowhere" / "past.db"
    said = xinye("monitor", "replay", monitor, past, "--store", nowhere).complaint
    assert f"{nowhere}: the file cannot be created" in said


def test_the_past_is_replayed(xinye, monitor: Path, tmp_path: Path) -> None:
    chance, begin = random.Random(0), datetime(2024, 3, 1, tzinfo=UTC)
    times = [begin + timedelta(hours=hour + chance.random()) for hour in range(24 * 20)]
    times += [begin + timedelta(days=15, minutes=at) for at in range(60)]
    past = tmp_path / "past.jsonl"
    rows = [
        {"text": f"{chance.getrandbits(80):x} 快递太慢了 {at}", "published": time.isoformat()}
        for at, time in enumerate(times)
    ]
    rows += [rows[0], {"text": "没有日期"}, {"text": "未来", "published": "9999-12-31T23:59:59Z"}]
    past.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    settings = monitor / "monitor.toml"
    text = settings.read_text("utf-8").replace("[companies]", '[companies]\n"快递" = []')
    settings.write_text(text, "utf-8")
    found = json.loads(xinye("monitor", "replay", monitor, past, "--json").out)
    [alert] = [each for each in found["alerts"] if each["kind"] == "company"]
    assert alert["subject"] == "快递"
    assert (found["undated"], found["added"]["known"]) == (2, 1)
    assert 0 <= alert["opened"] - (begin + timedelta(days=15)).timestamp() < 3600


def test_it_is_tested_and_says_how_sure_that_is(xinye, monitor: Path) -> None:
    found = json.loads(xinye("monitor", "evaluate", monitor, "--json").out)
    assert found.keys() == {"topics", "mood"} and found["mood"]["baseline"] is not None
    prepared = json.loads((monitor / "report.json").read_text("utf-8"))["trained"]
    for role, score in found.items():  # prepare has printed the same
        assert score["score"] == pytest.approx(prepared[role]["score"])
    low, high = found["topics"]["likely"]
    assert low < found["topics"]["score"] <= high and high - low > 0.2
    assert "the true figure is likely between" in xinye("monitor", "evaluate", monitor).out


@pytest.fixture
def store(xinye, monitor: Path, tmp_path: Path) -> Path:
    """A store with a document that is like no other, and one that is in the monitor's test."""
    known = max((each.text for each in MonitorFolder.read(monitor).test), key=len)
    texts = ("壶嘴断了一截", f"{known}。")
    news, store = tmp_path / "news.jsonl", tmp_path / "m.db"
    rows = [{"id": number, "text": text} for number, text in enumerate(texts)]
    news.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    xinye("monitor", "run", monitor, "--source", news, "--store", store)
    return store


def correct(store: Path, part: str) -> None:
    """Approve that the document with this part is negative."""
    with closing(Monitor(store)) as opened:
        [document] = documents_of(opened, Filter(words=part))
        [number] = opened.corrections.correct(document.number, "李", mood="negative")
        opened.corrections.approve(number, "王")


def fake_training(monitor: Path, monkeypatch, right_before: int, right_after: int) -> None:
    """Let the old model be right in so many test texts, and a new one, trained at once, too."""
    read = MonitorFolder.read(monitor)

    def said(right: int) -> dict[str, Judged]:
        moods = [each.mood for each in read.test]
        said = [mood if at < right else "unsure" for at, mood in enumerate(moods)]
        return {"mood": [({mood}, {each}) for mood, each in zip(moods, said, strict=True)]}

    def learn(parts: Parts, wanted: list[str], folder: Path, *_: object) -> Trained:
        shutil.copytree(monitor / "models" / "mood", folder / "mood")
        learned = {"mood": Learned(90, 10, 20, {}, 0.5, (0.2, 0.8), 0.5, 1.0)}
        return Trained(learned, {}, {}, read.calibrations, said(right_after))

    monkeypatch.setattr(improving, "learn", learn)
    monkeypatch.setattr(improving, "judged", lambda *_: said(right_before))


@pytest.mark.parametrize(("before", "after", "replaced"), [(1, 10, True), (10, 1, False)])
def test_a_model_is_replaced_by_a_better_one(
    xinye, monitor: Path, store: Path, monkeypatch, before: int, after: int, replaced: bool
) -> None:
    correct(store, "壶嘴")
    fake_training(monitor, monkeypatch, before, after)
    improved = json.loads(xinye("monitor", "improve", monitor, "--store", store, "--json").out)
    assert improved["texts"] == 1 and improved["before"].keys() == {"mood"}
    assert improved["replaced"] == (["mood"] if replaced else [])
    assert bool(improved["kept"]) == replaced
    texts = {each.text for each in MonitorFolder.read(monitor).labelled}
    assert ("壶嘴断了一截" in texts) == replaced


def test_a_gain_that_luck_explains_is_told(xinye, monitor: Path, store: Path, monkeypatch) -> None:
    correct(store, "壶嘴")
    fake_training(monitor, monkeypatch, 7, 9)
    said = xinye("monitor", "improve", monitor, "--store", store)
    assert "luck alone gives such a gain on these texts" in said.out
    assert "the old monitor is kept in" in said.err and "start it again" in said.err


def test_topics_that_are_too_rare_are_told(xinye, monitor: Path, store: Path) -> None:
    """One text about couriers teaches nothing yet, and nothing is trained."""
    with closing(Monitor(store)) as opened:
        [document] = documents_of(opened, Filter(words="壶嘴"))
        [number] = opened.corrections.correct(document.number, "李", topics=["骑手"])
        opened.corrections.approve(number, "王")
    said = xinye("monitor", "improve", monitor, "--store", store).complaint
    assert "too rare to learn (骑手 1); 10 texts" in said


@pytest.mark.parametrize(
    ("texts", "more_time", "advice"),
    [
        (213, True, "label more texts"),
        (5000, True, "give it more time"),
        (5000, False, "label more texts"),
    ],
)
def test_a_weak_model_gets_one_advice(capsys, texts: int, more_time: bool, advice: str) -> None:
    learned = Learned(texts, 20, 25, {}, 0.5, (0.2, 0.8), 0.9, 1.0, more_time)
    show_advice(asdict(learned))
    said = capsys.readouterr().out
    assert advice in said and ("--time" in said) == (advice == "give it more time")


def test_what_would_give_the_test_away_is_not_learned(
    xinye, monitor: Path, store: Path, monkeypatch
) -> None:
    command = ("monitor", "improve", monitor, "--store", store)
    assert "no approved correction is new" in xinye(*command).complaint
    correct(store, max((each.text for each in MonitorFolder.read(monitor).test), key=len))
    assert "all corrected texts nearly equal texts" in xinye(*command).complaint
    correct(store, "壶嘴")
    fake_training(monitor, monkeypatch, 1, 10)
    assert "given away: 1 corrected text" in xinye(*command).out


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
