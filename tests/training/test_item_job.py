"""A recommender from its files to its folder: trained, resumed, evaluated, used."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.test_finetune import Stop
from xinye.checkpoints.load import load_model
from xinye.errors import XinyeError
from xinye.jobs import item_evaluation
from xinye.jobs.recommending import Recommender
from xinye.observer import Observer
from xinye.planning import recommending
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.ranking import rankers
from xinye.ranking.suggestions import Asked
from xinye.tasks import recommend_results
from xinye.tasks.settings import task_settings
from xinye.training.train import finetune

GENRES = {"茶": "清香的茶", "杯": "白瓷的杯"}


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    """Events of a shop in which readers stay with a kind and take its items in order."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    with Path("items.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["商品", "标题", "标签"])
        for kind, title in GENRES.items():
            rows.writerows((f"{kind}{number}", f"{title} {number}", kind) for number in range(10))
    with Path("events.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["用户", "商品", "时间"])
        for user in range(60):
            kind, first = [*GENRES][user % 2], int(random.integers(0, 10))
            for step in range(6):
                day = f"2026-{1 + 2 * step:02d}-{1 + user % 28:02d}"
                rows.writerow([f"u{user}", f"{kind}{(first + step) % 10}", day])


def settings(output: str, **changes: Any) -> FinetuneSettings:
    given = {"task": "recommend", "data": ("events.csv",), "items": ("items.csv",)}
    given |= {"size": "50k", "epochs": 2, "batch_size": 8, "output": Path(output)}
    return task_settings(given | changes, "test")


def result(run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run, "training/result.json").read_text("utf-8"))
    return found


def test_a_recommender_learns_and_is_compared():
    finetune(settings("run", epochs=8))
    told = result("run")
    rows = {row["name"]: row for row in (*told["mixes"], *told["other_baselines"])}
    assert rows["the GPT alone"]["ndcg_at_10"] > rows["most popular"]["ndcg_at_10"] + 0.1
    assert told["measured"]["ndcg_at_10"] > 0.6
    assert sum(told["weights"].values()) == pytest.approx(1)
    assert "paired by 60 users" in told["compared"][-1]
    found = Recommender.load("run").recommend(Asked(history=("茶0", "茶1", "茶2"), k=3))
    assert found.items[0].id == "茶3" and not found.cold
    assert Recommender.load("run").history_of("u3")
    with pytest.raises(XinyeError, match="this model recommends items and writes no text"):
        load_model("run")


def test_evaluated_again_the_figures_are_the_same():
    finetune(settings("run"))
    again = item_evaluation.evaluate(Path("run"), (), Observer())
    assert again["measured"] == pytest.approx(result("run")["measured"], abs=1e-6)
    lines = Path("events.csv").read_text("utf-8").splitlines()
    Path("later.csv").write_text(f"{lines[0]}\nu0,杯9,2026-12-01\nu0,茶没有,2026-12-02\n", "utf-8")
    later = item_evaluation.evaluate(Path("run"), ("later.csv",), Observer())
    assert later["records"] == 1 and "1 event with items" in " ".join(later["notes"])
    Path("events.csv").write_text("\n".join(lines[:-1]) + "\n", "utf-8")
    with pytest.raises(XinyeError, match="have changed since the training"):
        item_evaluation.evaluate(Path("run"), (), Observer())


def test_resumed_bitwise():
    changes = {"dropout": 0.2, "evaluations": 4, "micro_batch_size": 3}
    whole = finetune(settings("whole", **changes))
    with pytest.raises(KeyboardInterrupt):
        finetune(settings("part", **changes), Stop(after=9))
    part = finetune(FinetuneSettings(output=Path("part")), resume=True)
    assert part.validation == whole.validation and part.steps == whole.steps
    for name in ("model.safetensors", "items.safetensors", "items/ranking.safetensors"):
        assert Path("whole", name).read_bytes() == Path("part", name).read_bytes(), name


def test_micro_batches_change_nothing(monkeypatch):
    """Without dropout, which draws for each of them."""
    monkeypatch.setattr(recommending, "RULES", replace(recommending.RULES, id_dropout=0.0))
    one, several = (
        finetune(
            settings(
                name, dropout=0.0, dtype="float32", micro_batch_size=size, steps=3, epochs=None
            )
        )
        for name, size in (("one", 8), ("several", 2))
    )
    assert one.validation["loss"] == pytest.approx(several.validation["loss"], rel=1e-4)


def test_new_items_are_measured_and_recommended():
    finetune(settings("run", new_items=0.2))
    told = result("run")
    assert told["measured"]["new_items_ndcg_at_10"] > 0
    assert {"similar texts", "most popular"} <= {row["name"] for row in told["other_baselines"]}
    catalogue = Path("run/items/catalogue.jsonl").read_text("utf-8").splitlines()
    assert len(catalogue) == 20


def test_what_the_figures_leave_out_is_told(monkeypatch):
    monkeypatch.setattr(recommend_results, "MOST_CASES", 10)
    monkeypatch.setattr(rankers, "EASE_ITEMS", 7)
    finetune(settings("run", steps=2, epochs=None))
    told = result("run")
    assert told["users"] == 10
    assert any(each.startswith("evaluated on 10 of ") for each in told["compared"])
    assert any(each.startswith("EASE covers the 7 most used of ") for each in told["compared"])


def test_split_by_time_is_named():
    finetune(settings("run", split="time", steps=2, epochs=None))
    plan = json.loads(Path("run/training/plan.json").read_text("utf-8"))
    assert "last tenth of all events" in plan["reasons"]["validation_records"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "lora"}, "method lora has no effect on the task recommend"),
        ({"augment": ("mask",)}, "augment has no effect"),
        ({"model": "runs/base", "items": ()}, "give their file, --items FILE"),
        ({"fold": "1/3"}, "fold has no effect on the task recommend"),
        ({"label_field": "x"}, "label_field has no effect on the task recommend"),
        ({"task": "classify", "items": ()}, "size has no effect on the task classify"),
    ],
)
def test_settings_that_do_not_suit_are_refused(changes, says):
    with pytest.raises(XinyeError, match=says):
        settings("run", **changes)


def test_too_few_events_are_one_clear_line():
    with pytest.raises(XinyeError, match="too few to learn from"):
        finetune(settings("run", min_events=999))
    lines = Path("events.csv").read_text("utf-8").splitlines()
    Path("events.csv").write_text("\n".join(lines[:3]) + "\n", "utf-8")
    with pytest.raises(XinyeError, match=r"events\.csv: all events are of one user"):
        finetune(settings("run"))
