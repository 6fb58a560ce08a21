"""What a study of several runs deletes from its folder: what it wrote, and nothing of anybody
else's."""

from pathlib import Path

import pytest

from conftest import contents
from xinye.runs.cleanup import MODEL, remove_run
from xinye.tasks.registry import tasks


@pytest.mark.parametrize(
    "name",
    [
        "1M/run-notes.txt",
        "trials/mine.txt",
        "fold-notes.txt",
        "notes/run-1/mine.txt",
        "trials/000/mine.txt",
    ],
)
def test_files_of_ones_own_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("我的笔记", "utf-8")
    (tmp_path / "plan.json").write_text("{}", "utf-8")
    remove_run(tmp_path, "*/run-*", "trials/*", "fold-*", "plan.json")
    assert contents(tmp_path) == {name: "我的笔记".encode()}


def test_what_tasks_save_beside_a_network_is_deleted_with_it() -> None:
    assert {name for task in tasks() for name in task.beside} <= {*MODEL}
