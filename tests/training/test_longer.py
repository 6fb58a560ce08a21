"""A run that is told to go on longer: its log has no seam, its plan says what was asked, and with a
constant rate it is the longer run to the bit."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import xinye as package
from conftest import contents
from training.test_finetune import records as records  # a fixture
from training.test_finetune import settings as task_settings
from training.test_pretrain import Interrupting, lines, run_of, same_weights, scores, settings
from xinye.checkpoints.folders import checkpoints
from xinye.errors import XinyeError
from xinye.observer import Observer
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.settings import PretrainSettings
from xinye.runs.saved import read_run
from xinye.training import text_job as recipe
from xinye.training.job import Run
from xinye.training.train import finetune, pretrain

pytestmark = pytest.mark.usefixtures("no_measuring")
CONSTANT = {"decay": 0.001, "warmup": 1, "dropout": 0.1}  # no step is in the decay


class Listening(Observer):
    def __init__(self) -> None:
        self.told: list[str] = []

    def warn(self, text: str) -> None:
        self.told.append(text)


def longer(folder: Path, observer: Observer | None = None, **budget: Any) -> Run:
    run = pretrain(PretrainSettings(output=folder, **budget), observer, resume=True)
    assert run is not None
    return run


def plan_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "training" / "plan.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_at_a_constant_rate_it_is_the_longer_run_to_the_bit(workplace, optimizer):
    whole = run_of(workplace, "whole", optimizer=optimizer, **CONSTANT)
    run_of(workplace, "run", optimizer=optimizer, steps=4, **CONSTANT)
    told = Listening()
    run = longer(workplace / "run", told, steps=6)
    assert same_weights(workplace / "whole", workplace / "run")
    assert (run.steps, run.tokens, run.validation) == (6, whole.tokens, whole.validation)
    assert told.told == [
        f"{workplace / 'run'}: training continues from step 4 to 6, now with the wsd schedule of 6 "
        "steps: the learning rate was 100% of its peak, is 100% now and ends at 100%"
    ]


def test_log_and_plan_have_no_seam(workplace):
    run_of(workplace, "whole", steps=12, **CONSTANT)
    first = run_of(workplace, "run", steps=6, **CONSTANT)
    longer(workplace / "run", steps=12)
    log = lines(workplace / "run")
    assert [line["step"] for line in log if line["kind"] == "step"] == [*range(1, 13)]
    judged = [(line["kind"], line["step"]) for line in log if line["kind"] != "step"]
    assert judged == [("validation", 3), ("validation", 6), ("result", 12)]
    [whole] = [line for line in lines(workplace / "whole") if line["kind"] == "validation"]
    [there] = [line for line in log if line["kind"] == "validation" and line["step"] == 6]
    assert there | {"seconds": 0} == whole | {"seconds": 0}  # where the run had ended
    saved = read_run(workplace / "run")
    spent = sum(line["seconds"] for line in log if line["kind"] == "step")
    assert saved.seconds == pytest.approx(spent, abs=0.01)
    assert saved.tokens == read_run(workplace / "whole").tokens
    plan = plan_of(workplace / "run")
    assert (
        plan["values"]["steps"] == 12 and plan["reasons"]["steps"] == "given; steps done already: 6"
    )
    [noted] = plan["extended"]
    assert noted["command"] == f"xinye pretrain -o {workplace / 'run'} --resume --steps 12"
    assert (noted["step"], noted["validation"]) == (6, first.validation)


@pytest.mark.parametrize("stopped_at", [4, 6])
def test_its_command_makes_it_again(xinye, workplace, stopped_at):
    part = pretrain(settings(workplace, "run"), Interrupting(after=stopped_at))
    assert part is not None and part.steps == stopped_at
    longer(workplace / "run", steps=9)
    commands = read_run(workplace / "run").command("again").split(" && ")
    assert len(commands) == 2
    for command in commands:
        assert xinye(*shlex.split(command)[1:]).code == 0
    weights = [(workplace / name / "model.safetensors").read_bytes() for name in ("run", "again")]
    assert weights[0] == weights[1]


def test_an_interrupted_extension_goes_on(workplace):
    for name, stopping in (("whole", Observer()), ("run", Interrupting(after=8))):
        run_of(workplace, name, steps=4)
        longer(workplace / name, stopping, steps=10)
    assert read_run(workplace / "run").state == "interrupted"
    assert longer(workplace / "run").steps == 10
    assert longer(workplace / "run", steps=14).steps == 14  # and once more
    assert [each["budget"]["steps"] for each in plan_of(workplace / "run")["extended"]] == [10, 14]
    at_10 = "training/checkpoints/step-00000010/model.safetensors"
    assert (workplace / "whole" / at_10).read_bytes() == (workplace / "run" / at_10).read_bytes()


@pytest.mark.parametrize("asked", [[], ["--steps", "6"]])
def test_a_finished_run_says_so_and_stays(xinye, trained, asked):
    before = contents(trained)
    told = xinye("pretrain", "-o", trained, "--resume", "--json", *asked)
    assert told.code == 0 and contents(trained) == before
    assert (
        "the run has finished already, with 6 steps; --steps N with a larger N extends it"
        in told.err
    )
    result = json.loads((trained / "training" / "result.json").read_text("utf-8"))
    assert json.loads(told.out)["validation"] == result["validation"]


def test_the_same_budget_in_other_words_is_the_same(xinye, workplace):
    pretrain(settings(workplace, steps=None, tokens="512"))
    before = contents(workplace / "run")
    told = xinye("pretrain", "-o", "run", "--resume", "--tokens", "0.512k")
    assert told.code == 0 and "finished already" in told.err and contents(Path("run")) == before


@pytest.mark.parametrize(
    ("asked", "comes_to"),
    [
        ({"steps": 5}, "--steps 5 is only 5 in total"),
        ({"tokens": "300"}, "--tokens 300 is only 2 in total"),
        ({"time": "0.001s"}, "--time 0.001s adds no more steps"),
    ],
)
def test_what_is_done_already_is_refused(workplace, asked, comes_to):
    run_of(workplace)
    before = contents(workplace / "run")
    with pytest.raises(XinyeError, match=f"6 steps are already done, and {comes_to}; give more"):
        longer(workplace / "run", **asked)
    assert contents(workplace / "run") == before


def test_a_run_without_checkpoints_cannot_go_on(xinye, workplace):
    run_of(workplace)
    assert xinye("runs", "clean", workplace, "--yes").code == 0
    with pytest.raises(XinyeError, match="its checkpoints were deleted"):
        longer(workplace / "run", steps=9)


def test_a_longer_time_counts_from_the_beginning(workplace, monkeypatch):
    run_of(workplace)
    spent = lines(workplace / "run")[-1]["seconds"]
    budgets: list[float] = []

    class Counting(recipe.Clock):
        def __init__(self, seconds: float, *arguments: Any) -> None:
            budgets.append(seconds)
            super().__init__(seconds, *arguments)

    monkeypatch.setattr(recipe, "Clock", Counting)
    longer(workplace / "run", Interrupting(after=8), time="1h")
    assert budgets[0] == pytest.approx(3600 - spent)
    begin, total = plan_of(workplace / "run")["values"]["total_steps"][0]
    assert begin == 0 and total > 100
    longer(workplace / "run", steps=10)  # and steps end what a time began
    assert "total_steps" not in plan_of(workplace / "run")["values"]
    assert read_run(workplace / "run").done == 10


def test_a_run_out_of_patience_has_it_again(workplace, monkeypatch):
    scores(monkeypatch, 2.0, 3.0, 2.0, *(1 / step for step in range(1, 20)))
    run = run_of(workplace, steps=8, evaluations=8, patience=1)
    assert run.stopped_early and run.steps == 2
    run = longer(workplace / "run", steps=12)
    assert not run.stopped_early and run.steps == 12


# -- fine-tuning -----------------------------------------------------------------------------------


def task_run(base: Path, output: str, **changes: Any) -> Run:
    some = {"epochs": None, "batch_size": 4, "evaluations": 2, **CONSTANT, **changes}
    return finetune(task_settings(base, output, **some))


def test_a_fine_tuning_is_the_longer_one_to_the_bit(trained, records):
    task_run(trained, "whole", steps=8)
    task_run(trained, "run", epochs=2.0)  # 4 steps
    run = finetune(FinetuneSettings(output=Path("run"), steps=8), resume=True)
    assert run.steps == 8
    for name in ("model.safetensors", "training/checkpoints/step-00000008/optimizer.safetensors"):
        assert Path("whole", name).read_bytes() == Path("run", name).read_bytes()
    assert plan_of(Path("run"))["values"]["epochs"] == 4.0
    package.finetune(output="run", epochs=6, resume=True, progress=False)
    assert read_run(Path("run")).done == 12
    with pytest.raises(XinyeError, match="name the model to begin with"):
        package.finetune(output="run", epochs=6)


def test_the_ranks_of_adalora_stay_where_they_are(trained, records):
    task_run(trained, "run", steps=20, method="adalora")
    ranks = json.loads(Path("run/training/result.json").read_text("utf-8"))["ranks"]
    finetune(FinetuneSettings(output=Path("run"), steps=40), resume=True)
    assert json.loads(Path("run/training/result.json").read_text("utf-8"))["ranks"] == ranks


def test_the_control_goes_on_longer_too(trained, records):
    task_run(trained, "run", steps=3, augment="mask")
    finetune(FinetuneSettings(output=Path("run"), steps=6), resume=True)
    assert checkpoints(Path("run/control"))[-1].name == "step-00000006"
    assert "control" in json.loads(Path("run/training/result.json").read_text("utf-8"))


@pytest.mark.parametrize("method", ["full", "adalora"])
def test_the_commands_of_a_fine_tuning_make_it_again(xinye, trained, records, method):
    few = {"epochs": None, "steps": 6, "batch_size": 4, "evaluations": 1, "method": method}
    finetune(task_settings(trained, "run", **few), Interrupting(after=2))
    finetune(FinetuneSettings(output=Path("run"), steps=8), resume=True)
    command = read_run(Path("run")).command("again")
    assert "--total-steps 0:6,2:2" in command
    for each in command.split(" && "):
        outcome = xinye(*shlex.split(each)[1:])
        assert outcome.code == 0, outcome.err
    name = "adapter_model.safetensors" if method == "adalora" else "model.safetensors"
    weights, same = (load_file(Path(run, name)) for run in ("run", "again"))
    assert all(torch.equal(weights[each], same[each]) for each in weights | same)
    again = finetune(FinetuneSettings(output=Path("again")), resume=True)
    assert again.steps == 8  # it has ended


def test_the_command_of_a_fine_tuning_names_what_was_derived(trained, records):
    task_run(trained, "run", steps=3)
    command = read_run(Path("run")).command()
    assert "--steps 3" in command and "--dtype float32" in command


def test_a_fine_tuning_on_text_is_gone_on_with_by_its_folder(xinye, trained, records):
    Path("t.txt").write_text("小兔很高兴，小猫真快乐。\n\n" * 40, "utf-8")
    base = ("finetune", trained, "--task", "text", "--data", "t.txt")
    assert xinye(*base, "-o", "run", "--steps", 3).code == 0
    again = xinye("finetune", "-o", "run", "--task", "text", "--resume", "--steps", 5)
    assert again.code == 0, again.err
    assert read_run(Path("run")).done == 5
    other = xinye("finetune", "-o", "run", "--resume")
    assert other.code == 2 and "xinye pretrain -o run --resume" in other.complaint


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plan.json", {"values": {"steps": "x"}}),
        ("plan.json", {"values": {"steps": 3, "dropout": 5}}),
        ("settings.json", {"recipe": "finetune", "settings": {"dropout": 5}}),
        ("settings.json", {"recipe": "finetune", "settings": 3}),
    ],
)
def test_a_damaged_file_of_a_fine_tuning_is_named(xinye, trained, records, name, content):
    path = Path(task_run(trained, "run", steps=3).run) / "training" / name
    path.write_text(json.dumps(content), "utf-8")
    outcome = xinye("finetune", "-o", "run", "--resume")
    assert outcome.code == 2 and f"{path}: damaged" in outcome.complaint
