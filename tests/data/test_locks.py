"""Locks that several threads and processes share."""

import threading
import time
from pathlib import Path

from xinye.data.locks import alone


def test_who_waited_for_a_file_that_was_deleted_is_alone_with_the_new_one(tmp_path: Path) -> None:
    """Else one more could make the file again, and be inside as well."""
    path, found = tmp_path / "lock", []

    def inside() -> None:
        with alone(path, kept=False):
            found.append(path.exists())

    waiting = [threading.Thread(target=inside) for _ in range(3)]
    with alone(path, kept=False):
        for thread in waiting:
            thread.start()
        time.sleep(0.05)  # so that they wait
    for thread in waiting:
        thread.join()
    assert found == [True] * 3
    assert not path.exists()
