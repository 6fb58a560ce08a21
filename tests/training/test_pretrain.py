"""A run as a whole: the same again, interrupted and resumed, validated on the same text, and loaded
elsewhere."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from xinye import machine
from xinye.checkpoints.folders import checkpoints
from xinye.checkpoints.huggingface import load_model
from xinye.errors import XinyeError
from xinye.observer import Observer
from xinye.planning import pretraining as planning
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.runs.saved import read_run
from xinye.tasks.text import prepare_text, validation_windows
from xinye.training import clock, session
from xinye.training import text_job as recipe
from xinye.training.job import Run
from xinye.training.loop import Step
from xinye.training.train import pretrain

STEPS = 6
LAST = f"training/checkpoints/step-{STEPS:08d}"
WEIGHTS = ("model.safetensors", f"{LAST}/model.safetensors", f"{LAST}/optimizer.safetensors")


def settings(workplace: Path, name: str = "run", **changes: Any) -> PretrainSettings:
    values = {
        "files": (str(workplace / "zh.txt"),),
        "output": workplace / name,
        "size": "1M",
        "layers": 1,
        "width": 64,
        "context": 32,
        "batch_size": 4,
        "steps": STEPS,
        "evaluations": 2,
        "tokenizer": "char",
        "dtype": "float32",
        "compile": "no",
    }
    return PretrainSettings(**{**values, **changes})


def run_of(workplace: Path, name: str = "run", **changes: Any) -> Run:
    run = pretrain(settings(workplace, name, **changes))
    assert run is not None
    return run


def resume(folder: Path) -> Run:
    run = pretrain(PretrainSettings(output=folder), resume=True)
    assert run is not None
    return run


def same_weights(one: Path, other: Path) -> bool:
    return all(
        (other / name).is_file() and (one / name).read_bytes() == (other / name).read_bytes()
        for name in WEIGHTS
    )


def lines(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in (folder / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    ]


class Interrupting(Observer):
    """Presses Ctrl-C, or pulls the plug, after a step."""

    def __init__(self, after: int, killed: bool = False) -> None:
        self.after, self.killed = after, killed

    def step(self, step: Step, steps: int) -> None:
        if step.step == self.after:
            if self.killed:
                raise SystemExit("killed")
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "dtype, optimizer",
    [("float32", "muon"), ("bfloat16", "muon"), ("float32", "adamw"), ("float32", "sgd")],
)
def test_resumed_after_an_interrupt_bitwise(workplace, dtype, optimizer):
    if dtype == "bfloat16" and machine.fast_dtype(torch.device("cpu"))[0] != torch.bfloat16:
        pytest.skip("this machine does not multiply bf16")
    changes = {"dtype": dtype, "optimizer": optimizer, "dropout": 0.1}
    whole = run_of(workplace, "whole", **changes)
    part = pretrain(settings(workplace, "part", **changes), Interrupting(after=4))
    assert part is not None and part.interrupted and part.steps == 4
    assert not same_weights(workplace / "whole", workplace / "part")
    end = resume(workplace / "part")
    assert not end.interrupted and end.steps == STEPS and end.tokens == whole.tokens
    assert same_weights(workplace / "whole", workplace / "part")
    assert end.validation == whole.validation


@pytest.mark.slow
def test_resumed_bitwise_when_compiled(workplace):
    changes = {"compile": "yes", "dropout": 0.1, "dtype": "auto"}
    run_of(workplace, "whole", **changes)
    torch.compiler.reset()
    pretrain(settings(workplace, "part", **changes), Interrupting(after=4))
    torch.compiler.reset()
    resume(workplace / "part")
    assert same_weights(workplace / "whole", workplace / "part")


def test_resumed_in_the_second_epoch_between_micro_batches_bitwise(workplace):
    changes = {"batch_size": 80, "micro_batch_size": 32, "dropout": 0.1}
    whole = run_of(workplace, "whole", **changes)
    windows = (
        json.loads((workplace / "whole/training/plan.json").read_text("utf-8"))["values"][
            "training_tokens"
        ]
        / 32
    )
    assert windows < 4 * 80, "the text has been read once when the run is interrupted"
    pretrain(settings(workplace, "part", **changes), Interrupting(after=5))
    assert resume(workplace / "part").validation == whole.validation
    assert same_weights(workplace / "whole", workplace / "part")


def test_micro_batches_may_change_when_a_run_goes_on(workplace):
    whole = run_of(workplace, "whole", optimizer="adamw")
    pretrain(settings(workplace, "part", optimizer="adamw"), Interrupting(after=4))
    end = pretrain(PretrainSettings(output=workplace / "part", micro_batch_size=1), resume=True)
    assert end is not None and end.validation["loss"] == pytest.approx(
        whole.validation["loss"], abs=1e-4
    )


def test_layers_computed_again_give_the_same_model(workplace):
    changes = {"layers": 3, "dropout": 0.1, "micro_batch_size": 3}
    run_of(workplace, "whole", **changes)
    part = settings(workplace, "part", **changes, activation_checkpointing=True)
    pretrain(part, Interrupting(after=4))
    assert "--activation-checkpointing" in read_run(workplace / "part").command()
    assert resume(workplace / "part").steps == STEPS
    assert same_weights(workplace / "whole", workplace / "part")


def test_an_lstm_has_nothing_to_compute_again(workplace):
    with pytest.raises(XinyeError, match="--activation-checkpointing has no effect on an lstm"):
        run_of(workplace, architecture="lstm", activation_checkpointing=True)


def test_micro_batches_may_be_as_large_as_fits(workplace, monkeypatch):
    """Each window takes a megabyte here, and nine tenths of four are free: two fit, twice two would
    not."""
    taken = iter([0, 1, 0, 2])
    monkeypatch.setattr(machine, "memory_bytes", lambda device: 4_000_000)
    monkeypatch.setattr(machine, "peak_memory_bytes", lambda device: next(taken, 0) * 1_000_000)
    monkeypatch.setattr(planning.Memory, "total", 0)
    monkeypatch.setattr(recipe, "check_size", lambda *arguments: None)
    run_of(workplace, batch_size=8, micro_batch_size="auto")
    plan = json.loads((workplace / "run/training/plan.json").read_text("utf-8"))
    assert (plan["values"]["batch_size"], plan["values"]["micro_batch_size"]) == (8, 2)


def test_all_windows_at_once_where_memory_is_ample(workplace):
    """One process has nothing to split: `parallel` has no effect, as the plan says."""
    run_of(workplace, batch_size=6, micro_batch_size="auto", parallel="fsdp")
    plan = json.loads((workplace / "run/training/plan.json").read_text("utf-8"))
    assert plan["values"]["micro_batch_size"] == 6
    assert plan["reasons"]["parallel"] == "without effect in one process"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")]
)
def test_out_of_memory_is_answered_with_what_fits(workplace, monkeypatch, error):
    def full(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(session.Loop, "take", full)
    with pytest.raises(
        XinyeError, match=r"with 4 windows at once .128 tokens.; .*--micro-batch-size 2"
    ) as told:
        run_of(workplace)
    assert told.value.exit_code == 1


def test_resumed_after_a_kill_bitwise(workplace):
    whole = run_of(workplace, "whole")
    with pytest.raises(SystemExit):
        pretrain(settings(workplace, "part"), Interrupting(after=5, killed=True))
    assert checkpoints(workplace / "part")[-1].name == "step-00000003"
    assert resume(workplace / "part").validation == whole.validation
    assert same_weights(workplace / "whole", workplace / "part")
    logs = [lines(workplace / name) for name in ("whole", "part")]
    for record in (*logs[0], *logs[1]):
        for name in [name for name in record if name.endswith(("seconds", "utilization"))]:
            del record[name]
    assert logs[0] == logs[1], "the steps taken twice are noted once"


class Ends(Interrupting):
    """Notes how its runs end."""

    def __init__(self, after: int) -> None:
        super().__init__(after)
        self.ends: list[Run | BaseException] = []

    def ended(self, outcome: Run | BaseException) -> None:
        self.ends.append(outcome)


def test_an_observer_is_told_of_the_end_and_of_a_failure(workplace, monkeypatch):
    observer = Ends(after=2)
    stopped = pretrain(settings(workplace), observer)
    assert observer.ends == [stopped] and stopped.interrupted

    def fails(*arguments: object) -> dict[str, float]:
        raise XinyeError("no figures")

    monkeypatch.setattr(recipe, "evaluate", fails)
    with pytest.raises(XinyeError):
        pretrain(PretrainSettings(output=workplace / "run"), observer, resume=True)
    assert [type(end) for end in observer.ends] == [Run, XinyeError]


def test_the_best_checkpoint_stays(workplace, monkeypatch):
    worse_and_worse = iter([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    figures = lambda *_: {"loss": 1.0, "bits_per_byte": next(worse_and_worse)}  # noqa: E731
    monkeypatch.setattr(recipe, "evaluate", figures)
    run_of(workplace, evaluations=6)
    assert [path.name[-1] for path in checkpoints(workplace / "run")] == ["1", "5", "6"]


def scores(monkeypatch: pytest.MonkeyPatch, *bits_per_byte: float) -> None:
    """Evaluations give these figures, one after the other."""
    following = iter(bits_per_byte)
    monkeypatch.setattr(
        recipe, "evaluate", lambda *_: {"loss": 1.0, "bits_per_byte": next(following)}
    )


def test_patience_ends_a_run_with_its_best_model(workplace, monkeypatch):
    scores(monkeypatch, 3.0, 2.0, 2.5, 1.9, 1.9, 2.1, 1.5)
    run = run_of(workplace, steps=12, evaluations=12, patience=2)
    assert (run.stopped_early, run.steps, run.model_step) == (True, 6, 4)
    assert run.validation["bits_per_byte"] == 1.5, (
        "the figures are those of another evaluation, of the best model"
    )
    assert [path.name[-1] for path in checkpoints(workplace / "run")] == ["4", "5", "6"]
    best, last = (
        workplace / "run/training/checkpoints" / f"step-0000000{step}/model.safetensors"
        for step in (4, 6)
    )
    assert (
        (workplace / "run/model.safetensors").read_bytes() == best.read_bytes() != last.read_bytes()
    )


def test_of_checkpoints_that_are_equally_good_the_one_with_the_lowest_loss_is_taken(
    workplace, monkeypatch
):
    following = iter([(2.0, 0.9), (1.0, 0.9), (1.0, 0.3), (1.0, 0.5), (1.0, 0.3)])
    names = ("bits_per_byte", "loss")
    monkeypatch.setattr(
        recipe, "evaluate", lambda *_: dict(zip(names, next(following), strict=True))
    )
    run = run_of(workplace, steps=12, evaluations=12, patience=2)
    assert (run.stopped_early, run.steps, run.model_step) == (True, 4, 3)


def test_resuming_a_run_stopped_early_takes_no_step(workplace, monkeypatch):
    scores(monkeypatch, 2.0, 3.0, 2.0, 2.0)
    run = run_of(workplace, steps=12, evaluations=12, patience=1)
    before = (workplace / "run/model.safetensors").read_bytes()
    again = resume(workplace / "run")
    assert (again.stopped_early, again.steps, again.model_step) == (True, 2, 1)
    assert (
        again.validation == run.validation
        and (workplace / "run/model.safetensors").read_bytes() == before
    )


def test_patience_counts_on_after_a_resume(workplace, monkeypatch):
    scores(monkeypatch, 2.0, 3.0, 3.0, 2.0)
    part = pretrain(settings(workplace, steps=12, evaluations=6, patience=2), Interrupting(after=5))
    assert part is not None and not part.stopped_early
    end = resume(workplace / "run")
    assert (end.stopped_early, end.steps, end.model_step) == (True, 6, 2)


def test_patience_that_is_not_tried_changes_nothing(workplace):
    run_of(workplace, "a", evaluations=3)
    run = run_of(workplace, "b", evaluations=3, patience=3)
    assert not run.stopped_early and run.model_step == STEPS
    assert same_weights(workplace / "a", workplace / "b")


def test_l1_makes_zeros(workplace):
    run_of(workplace, "without")
    run_of(workplace, "with", l1=0.3)
    zeros = {}
    for name in ("without", "with"):
        model, _ = load_model(workplace / name)
        zeros[name] = float((model.model.layers[0].self_attn.q_proj.weight == 0).float().mean())
    assert zeros["without"] == 0 and zeros["with"] > 0.05


def test_label_smoothing_is_for_training_only(workplace):
    run = run_of(workplace, label_smoothing=0.2)
    first = lines(workplace / "run")[0]["loss"]
    run_of(workplace, "plain")
    assert first != lines(workplace / "plain")[0]["loss"]
    model, tokenizer = load_model(run.run)
    text = prepare_text(settings(workplace), Draft(), Observer())
    windows = validation_windows(text.validation, STEPS * 4)[1]
    loss = recipe.evaluate(model, text.validation.in_order(8, windows), tokenizer.token_lengths)[
        "loss"
    ]
    assert run.validation["loss"] == pytest.approx(loss, rel=1e-5)


def test_a_tracker_is_told_what_the_metrics_hold(workplace):
    run_of(workplace, track="tensorboard")
    events = EventAccumulator(str(workplace / "run" / "training" / "tensorboard"))
    events.Reload()
    told = {each.step: each.value for each in events.Scalars("training/loss")}
    noted = {
        line["step"]: line["loss"] for line in lines(workplace / "run") if line["kind"] == "step"
    }
    assert told == {step: pytest.approx(loss, rel=1e-6) for step, loss in noted.items()}
    assert [each.step for each in events.Scalars("validation/bits_per_byte")] == [3, STEPS]


def test_resuming_derives_nothing_anew(workplace, monkeypatch):
    """Steps, dropout and micro-batches of a time budget came from a speed and a memory that may be
    others today."""
    changes = {"steps": None, "time": "20s", "micro_batch_size": None}
    seconds = [0.0]
    monkeypatch.setattr(clock, "now", lambda: seconds[0])  # stands still until the plan is told
    part = pretrain(settings(workplace, "part", **changes), Interrupting(after=1))
    assert part is not None
    before = json.loads((workplace / "part/training/plan.json").read_text("utf-8"))["values"]
    monkeypatch.setattr(machine, "matrix_flops_per_second", lambda *arguments, **named: 1e15)
    monkeypatch.setattr(machine, "memory_bytes", lambda device: 3_200_000)
    planned: dict[str, Any] = {}

    class Listening(Observer):
        def plan(self, plan: Any, trainable: Any = ()) -> None:
            planned.update(plan.values)
            seconds[0] = 40.0  # the budget is spent

    pretrain(PretrainSettings(output=workplace / "part"), Listening(), resume=True)
    assert planned == before


def test_a_finished_run_resumes_to_itself(workplace):
    run = run_of(workplace)
    before = {name: (workplace / "run" / name).read_bytes() for name in WEIGHTS}
    again = resume(workplace / "run")
    assert (again.steps, again.validation) == (run.steps, run.validation)
    assert before == {name: (workplace / "run" / name).read_bytes() for name in WEIGHTS}


def test_the_same_seed_gives_the_same_run(workplace):
    one, two, other = (
        run_of(workplace, name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert same_weights(workplace / "a", workplace / "b") and one.validation == two.validation
    assert not same_weights(workplace / "a", workplace / "c") and one.validation != other.validation


def test_micro_batches_change_no_result(workplace):
    """Only the rounding of sums."""
    whole, cut = run_of(workplace, "whole"), run_of(workplace, "cut", micro_batch_size=1)
    assert cut.validation["loss"] == pytest.approx(whole.validation["loss"], rel=1e-4)
    losses = [
        [line["loss"] for line in lines(workplace / name) if line["kind"] == "step"]
        for name in ("whole", "cut")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_it_learns(workplace):
    run_of(workplace, steps=60)
    losses = [line["loss"] for line in lines(workplace / "run") if line["kind"] == "step"]
    assert losses[-1] < losses[0] - 1


def test_validation_is_always_on_the_same_tokens(workplace, monkeypatch):
    seen: list[list[list[int]]] = []

    def watched(model: Any, batches: Any, lengths: Any) -> dict[str, float]:
        batches = list(batches)
        seen.append([row for batch in batches for row in batch.tokens.tolist()])
        return evaluate(model, batches, lengths)

    evaluate = recipe.evaluate
    monkeypatch.setattr(recipe, "evaluate", watched)
    run_of(workplace, "a", evaluations=3)
    run_of(workplace, "b", evaluations=3, seed=1)
    *during, last = seen[: len(seen) // 2]
    assert len(during) == 2 and during[0] == during[1] == last[: len(during[0])]
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]


def test_metrics_hold_a_line_for_each_step(workplace):
    run = run_of(workplace)
    records = lines(workplace / "run")
    steps = [record for record in records if record["kind"] == "step"]
    assert [record["step"] for record in steps] == list(range(1, STEPS + 1))
    parts = {"data_seconds", "forward_seconds", "backward_seconds", "optimizer_seconds"}
    assert set(steps[0]) == {
        "kind",
        "step",
        "loss",
        "gradient_norm",
        "rate_factor",
        "tokens",
        "seconds",
    } | parts | {"model_flops_utilization"}
    assert [(record["kind"], record["step"]) for record in records if record["kind"] != "step"] == [
        ("validation", 3),
        ("result", STEPS),
    ]
    assert records[-1]["bits_per_byte"] == pytest.approx(run.validation["bits_per_byte"], abs=1e-5)
    assert records[-1]["sample"]
    saved = json.loads((workplace / "run" / "training" / "result.json").read_text("utf-8"))
    assert saved["validation"] == run.validation and saved["parameters"] == run.parameters


@pytest.mark.parametrize("architecture", ["modern", "llama", "gpt2"])
@pytest.mark.parametrize("kind", ["bpe", "char", "bytes"])
def test_a_run_loads_in_transformers(workplace, architecture, kind):
    run = run_of(workplace, architecture=architecture, tokenizer=kind, steps=2, evaluations=1)
    model, tokenizer = load_model(run.run)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(run.run, dtype=torch.float32).eval()
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(run.run)
    text = "小兔豆豆 found a leaf 🍂"[:20]
    ids = tokenizer.encode(text)[:30]
    assert their_tokenizer(text, add_special_tokens=False).input_ids[:30] == ids
    tokens = torch.tensor([[tokenizer.bos_id, *ids]])
    with torch.no_grad():
        ours, expected = model.eval()(tokens), theirs(tokens).logits
    assert float((ours - expected).abs().max() / expected.abs().max()) <= 1e-5
    assert theirs.num_parameters() == run.parameters


def test_a_tokenizer_trained_before_is_used(workplace, trained):
    run = run_of(workplace, tokenizer=str(trained), steps=1)
    assert (Path(run.run) / "tokenizer.json").read_bytes() == (
        trained / "tokenizer.json"
    ).read_bytes()


def test_without_a_name_a_new_folder_is_found(workplace):
    names = [run_of(workplace, output=None, steps=1).run for _ in range(2)]
    assert names == [str(Path("runs/zh")), str(Path("runs/zh-1"))]


def test_bits_per_byte_do_not_depend_on_the_tokenizer_much(workplace):
    """A model that has learned nothing needs log2(V) bits a token; bits per byte say what that is
    worth."""
    bits = {
        kind: run_of(workplace, kind, tokenizer=kind, steps=1).validation["bits_per_byte"]
        for kind in ("bytes", "char")
    }
    assert 7.5 < bits["bytes"] < 8.5 and 2.5 < bits["char"] < 4


def test_a_failed_evaluation_keeps_the_last_checkpoint(workplace, monkeypatch):
    """Whatever ends a run, what was saved before is there and goes on."""
    calls = 0
    evaluate = recipe.evaluate

    def failing(*arguments: Any) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise XinyeError("no room", exit_code=1)
        return evaluate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(recipe, "evaluate", failing)
        with pytest.raises(XinyeError):
            run_of(workplace, evaluations=3)
    assert resume(workplace / "run").steps == STEPS
