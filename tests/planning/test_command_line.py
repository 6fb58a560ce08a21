"""Settings come back from the command line that is written for them."""

from pathlib import Path

import pytest

from xinye.cli.arguments import Fields, Parser, flag
from xinye.errors import checked
from xinye.planning.command_line import command_line
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.settings import PretrainSettings

FINETUNE = FinetuneSettings(
    model="runs/我的 base", task="classify", data=("a.csv", "b.csv"), method="lora", epochs=2.0,
    augment=("mask", "crop"), control=False, mask_tokens=0.15, adapter={"r": 4, "use_rslora": True},
    output=Path("runs/tuned-1.0"), track=("tensorboard", "mlflow"),
)  # fmt: skip
PRETRAIN = PretrainSettings(
    files=("a.txt", "b c.txt"), output=Path("-run"), total_steps=((0, 9), (4, 7)), prompt="-- 新叶",
    cleaning={"duplicates": False, "unicode": "NFC"}, track=("wandb", "mlflow"),
)  # fmt: skip


@pytest.mark.parametrize("settings, positional", [(FINETUNE, "model"), (PRETRAIN, "files")])
def test_settings_come_back_from_their_command_line(settings, positional):
    words = command_line(settings.recipe, settings.model_dump(mode="json", exclude_defaults=True))
    named = flag(positional, None, "", nargs="*" if positional == "files" else None)
    parser = Parser(settings.recipe, "", "", named, Fields(type(settings), (positional,)))
    assert words[:2] == ["xinye", settings.recipe]
    assert checked(type(settings), parser.read(words[2:]).settings, "test") == settings


def test_a_file_whose_name_begins_like_a_flag_stays_a_file():
    assert command_line("pretrain", {"files": ["-a.txt"]}) == ["xinye", "pretrain", "./-a.txt"]
