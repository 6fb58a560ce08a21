"""Checkpoints of a model in parts, where what is written vanishes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from runs.test_store import TOKENIZER, LanguageFiles, step, trainer
from xinye.errors import XinyeError
from xinye.runs.folder import Values
from xinye.training.distributed import Processes
from xinye.training.sharded_store import PARTS, ShardedStore
from xinye.training.sharding import hollow


@pytest.fixture
def alone() -> Iterator[Processes]:
    """One process of a group."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield Processes()
    dist.destroy_process_group()


@pytest.mark.parametrize("vanished", ["", "model-00002-of-00002.safetensors"])
def test_parts_that_vanish_are_told_in_one_line(tmp_path, alone, vanished) -> None:
    class Vanishing(ShardedStore):
        def _write(self, folder: Path, progress: Values) -> None:
            if vanished:
                (folder / PARTS / vanished).unlink()
            else:
                shutil.rmtree(folder / PARTS)
            super()._write(folder, progress)

    model, optimizers = trainer()
    step(model, optimizers, 0)
    whole: Any = hollow(model)
    files = LanguageFiles(tmp_path, whole, TOKENIZER)
    store = Vanishing(tmp_path, files, model, optimizers, whole, alone)
    store.save({"step": 1, "seconds": 1.0})
    with pytest.raises(XinyeError, match=r"cannot save \(.* deleted meanwhile.*no checkpoint yet"):
        store.wait()
    store.close()
    assert not [*tmp_path.rglob("*.new")]
