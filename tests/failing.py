"""A process of two that fails in one of several ways, for the tests of how it is told."""

import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

TOLD = ("of-one", "of-all", "other", "unlike")  # where the other process ends by itself


def fail(how: str, rank: int, where: dict[str, str], said: Path) -> None:
    """Be the process with this rank. What it prints as an error goes to a file."""
    os.environ.clear()
    os.environ.update(where, RANK=str(rank))
    os.chdir(said.parent)
    with open(said, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 2)
    import xinye.cli.training as commands
    from xinye.cli.main import main
    from xinye.errors import XinyeError
    from xinye.planning.settings import PretrainSettings
    from xinye.training import launch, watch
    from xinye.training.distributed import processes
    from xinye.training.train import check_same_settings, start_of

    if how == "missing":
        launch.JOINING = timedelta(seconds=1)
        sys.exit(main(["pretrain", "zh.txt", "-o", "run"]))
    if how in ("silent", "finished"):
        watch.SILENCE = timedelta(seconds=2)

    def train(arguments: list[str]) -> int:
        with processes() as group:
            if how == "of-one" and group.rank:
                raise XinyeError("disk: it is full", 1)
            if how == "of-all":
                raise XinyeError(f"disk: it is full, says {group.rank}")
            if how == "killed" and group.rank:
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "other":
                group.check_same(f"the data {group.rank}", "give the same")
            if how == "unlike":
                settings = PretrainSettings(steps=2 + group.rank, output=Path("run"))
                check_same_settings(settings, start_of(settings, group, None, False, False))
            if how == "silent" and group.rank:
                os.kill(os.getpid(), signal.SIGSTOP)
            group.numbers([1])
            if how == "finished" and group.first:
                time.sleep(3)
        return 0

    commands.pretrain = train
    code = main(["pretrain"])
    (said.parent / f"{rank}.ended").touch()
    # The first process has the store of both. An interpreter of its own would take a while to end;
    # a forked one ends at once, of which PyTorch warns the other.
    end = time.monotonic() + 10
    while how in TOLD and not (said.parent / "1.ended").exists() and time.monotonic() < end:
        time.sleep(0.01)
    sys.exit(code)
