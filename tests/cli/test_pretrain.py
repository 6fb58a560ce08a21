"""`xinye pretrain` as a person meets it: wrong input is one line, and nothing that existed is
lost."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from conftest import TINY, contents
from xinye.checkpoints.folders import checkpoints, step_of
from xinye.libraries import install_command
from xinye.training import text_job as recipe

DISK = namedtuple("DISK", "total used free")
RESULT_KEYS = [
    *(
        "run",
        "parameters",
        "steps",
        "tokens",
        "seconds",
        "tokens_per_second",
        "model_flops_utilization",
        "validation",
    ),
    *("stopped_early", "model_step", "cooled_from", "before"),
]


@pytest.fixture
def run_here(trained: Path, workplace: Path) -> Path:
    """A trained run in the workplace, under the name `run`."""
    return Path(shutil.copytree(trained, workplace / "run"))


def make_inputs(folder: Path) -> None:
    """Files that cannot be trained on."""
    (folder / "empty.txt").touch()
    (folder / "blank.txt").write_text(" \n\n", "utf-8")
    (folder / "short.txt").write_text("你好", "utf-8")
    (folder / "zeros.txt").write_bytes(b"some text\x00\x01" * 100)
    (folder / "picture.txt").write_bytes(b"\x89PNG\r\n" + bytes(100))
    (folder / "damaged.txt").write_bytes(
        "一片新叶落下来。".encode() * 50 + b"\xff\xfe\xff" + "好".encode() * 50
    )
    (folder / "cut.jsonl").write_text('{"text": "一片新叶"}\n{"text": "一片\n', "utf-8")
    (folder / "paper.docx").touch()
    (folder / "nothing").mkdir()
    (folder / "pictures").mkdir()
    (folder / "pictures" / "leaf.png").touch()


BAD_INPUT = {
    "no files named": ([], "give the text to train on"),
    "missing file": (["missing.txt"], "missing.txt: no such file"),
    "glob without files": (["x*.txt"], "x*.txt: no text files there"),
    "empty file": (["empty.txt"], "empty.txt: there is no text"),
    "white space only": (["blank.txt"], "blank.txt: there is no text"),
    "empty folder": (["nothing"], "nothing: no text files there; accepted: .txt"),
    "folder without text": (
        ["pictures"],
        "pictures: no text files there (skipped: 1 .png); accepted: .txt",
    ),
    "kind of file": (
        ["paper.docx"],
        "paper.docx: files of this kind cannot be read; accepted: .txt",
    ),
    "zero bytes": (
        ["zeros.txt"],
        "zeros.txt: this is a binary file, not text (zero byte at offset 9)",
    ),
    "picture": (["picture.txt"], "picture.txt: this is a PNG image"),
    "undecodable bytes": (
        ["damaged.txt"],
        "damaged.txt: byte 0xFF at offset 1200 (line 1) is not UTF-8",
    ),
    "bad JSON": (["cut.jsonl"], "cut.jsonl, line 2: not valid JSON"),
    "too short to split": (["short.txt"], "short.txt: 3 tokens, too few to train on"),
    "name too long": (["leaf " * 100], "the file name is too long"),
    "vocabulary too large": (
        ["zh.txt", "--tokenizer", "bpe", "--vocab-size", "50000"],
        "than this text supports",
    ),
    "vocabulary too small": (
        ["zh.txt", "--vocab-size", "10"],
        "the 256 bytes and control tokens take 261",
    ),
    "vocabulary of bytes": (
        ["zh.txt", "--tokenizer", "bytes", "--vocab-size", "999"],
        "vocab_size",
    ),
    "no such tokenizer": (["zh.txt", "--tokenizer", "bpee"], "bpee"),
    "prompt with more than the context": (
        ["zh.txt", "--prompt", "小兔" * 99],
        "199 tokens; this model reads at most 32",
    ),
    "context with more than the text": (
        ["en.txt", "--context", "60000"],
        "context 60,000 is longer than the",
    ),
    "heads": (["zh.txt", "--heads", "7"], "width 64 cannot be divided among 7 heads"),
    "two budgets": (
        ["zh.txt", "--time", "1min"],
        "give only one of --time, --tokens, --epochs and --steps",
    ),
    "count": (["zh.txt", "--size", "big"], "'big' is not a number such as 5M"),
    "whole number": (["zh.txt", "--layers", "x"], "layers"),
    "range": (["zh.txt", "--dropout", "1.5"], "dropout"),
    "tracker": (
        ["zh.txt", "--track", "wandb,tensorbord"],
        "'tensorbord'; choose from tensorboard, wandb, mlflow; did you mean 'tensorboard'?",
    ),
    "label smoothing": (["zh.txt", "--label-smoothing", "1"], "--label-smoothing"),
    "l1": (["zh.txt", "--l1", "-0.1"], "l1"),
    "patience": (["zh.txt", "--patience", "0"], "patience"),
    "seed too large": (["zh.txt", "--seed", "99999999999999999999"], "seed"),
    "choice": (["zh.txt", "--architecture", "gpt3"], "'gpt2' or 'lstm'"),
    "unknown flag": (["zh.txt", "--layer", "2"], "'--layer'; did you mean '--layers'?"),
    "rate of another optimizer": (
        ["zh.txt", "--optimizer", "adamw", "--matrix-learning-rate", "0.1"],
        "matrix_learning_rate",
    ),
    "folder below a file": (["zh.txt", "-o", "zh.txt/run"], "zh.txt/run: cannot write there"),
    "missing config": (["--config", "missing.yaml"], "missing.yaml: there is no such file"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_line(xinye, workplace, name):
    make_inputs(workplace)
    arguments, says = BAD_INPUT[name]
    before = contents(workplace)
    outcome = xinye("pretrain", *TINY, "--steps", "2", *arguments)
    assert outcome.code == (1 if name == "folder below a file" else 2)
    assert says in outcome.complaint
    assert contents(workplace) == before and not (workplace / "runs").exists()


@pytest.mark.parametrize(
    "arguments, says",
    [
        (
            ["--size", "350B"],
            "350,000,000,000 parameters × (4 weight + 4 gradient + 4 optimizer) bytes = 4,200",
        ),
        (
            ["--width", "8192", "--layers", "96"],
            "parameters × (4 weight + 4 gradient + 4 optimizer) bytes + ",
        ),
    ],
)
def test_too_large_for_the_memory(xinye, workplace, arguments, says):
    outcome = xinye("pretrain", "en.txt", "--steps", "1", "--context", "32", *arguments)
    assert outcome.code == 2
    assert says in outcome.complaint and "GB are free; choose a smaller --size" in outcome.complaint


@pytest.mark.parametrize(
    "text, says",
    [
        ("size: 1M\nlayer: 3\n", "unknown key 'layer'; did you mean 'layers'?"),
        ("cleaning:\n  unicod: NFC\n", "unknown key 'unicod'; did you mean 'unicode'?"),
        ("size: large\n", "'large' is not a number"),
        ("steps: 3\ntime: 1min\n", "give only one of"),
        ("- 5M\n", "expected lines such as"),
        ("size: [5M\n", "not a YAML file"),
        ("", "expected lines such as"),
    ],
)
def test_bad_config_names_file_and_key(xinye, workplace, text, says):
    (workplace / "mine.yaml").write_text(text, "utf-8")
    outcome = xinye("pretrain", "zh.txt", "--config", "mine.yaml")
    assert outcome.code == 2 and "mine.yaml: " in outcome.complaint and says in outcome.complaint


def test_flags_stand_above_the_config(xinye, workplace):
    lines = [
        "files: [zh.txt]",
        "time: 10min",
        "seed: 5",
        "cleaning:",
        "  unicode: NFC",
        "  minimum_characters: 3",
    ]
    lines += [
        f"{flag[2:].replace('-', '_')}: {value}"
        for flag, value in zip(TINY[::2], TINY[1::2], strict=True)
    ]
    (workplace / "mine.yaml").write_text("\n".join(lines), "utf-8")
    outcome = xinye(
        "pretrain", "--config", "mine.yaml", "--steps", "2", "--unicode", "NFKC", "-o", "run"
    )
    assert outcome.code == 0, outcome.err
    settings = json.loads(Path("run/training/settings.json").read_text("utf-8"))["settings"]
    assert (settings["steps"], settings["seed"], settings["width"]) == (2, 5, 64)
    assert "time" not in settings  # a budget typed stands above any budget of the file
    assert settings["cleaning"] == {"unicode": "NFKC", "minimum_characters": 3}


def test_json_is_the_last_line(xinye, workplace):
    outcome = xinye("pretrain", "zh.txt", "-o", "my [run]", "--steps", "2", "--json", *TINY)
    assert outcome.code == 0
    result = json.loads(outcome.out.splitlines()[-1])
    assert list(result) == RESULT_KEYS and set(result["validation"]) == {"loss", "bits_per_byte"}
    assert (result["run"], result["steps"], result["tokens"]) == ("my [run]", 2, 2 * 4 * 32)
    assert outcome.out.count("\n") == 1
    assert "xinye generate 'my [run]'" in outcome.err


def test_a_tracker_that_fails_is_a_warning(xinye, workplace, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    outcome = xinye(
        "pretrain",
        "zh.txt",
        "-o",
        "run",
        "--steps",
        "2",
        "--track",
        "mlflow",
        "--track",
        "mlflow",
        *TINY,
    )
    assert outcome.code == 0
    warnings = [line for line in outcome.err.splitlines() if line.startswith("--track")]
    assert warnings == [
        f"--track mlflow: it needs mlflow, to install with {install_command('mlflow')}; training continues without it"
    ]
    # before all work
    assert outcome.err.index("--track mlflow") < outcome.err.index("reading 1 file")


def test_a_run_stopped_early_says_so(xinye, workplace, monkeypatch):
    following = iter([2.0, 3.0, 2.0, 2.0])
    monkeypatch.setattr(
        recipe, "evaluate", lambda *_: {"loss": 1.0, "bits_per_byte": next(following)}
    )
    arguments = [
        "--steps",
        "9",
        "--evaluations",
        "9",
        "--patience",
        "1",
        "--label-smoothing",
        "0.1",
    ]
    outcome = xinye("pretrain", "zh.txt", "-o", "run", "--json", *arguments, *TINY)
    assert outcome.code == 0
    result = json.loads(outcome.out)
    assert (result["stopped_early"], result["steps"], result["model_step"]) == (True, 2, 1)
    says = (
        "stopped early after step 2, because the evaluations no longer improve; the best model, "
        "that of step 1, is saved"
    )
    assert says in outcome.err and "patience" in outcome.err and "label_smoothing" in outcome.err
    assert "l1 " not in outcome.err  # what was not given is no row of the plan
    assert says in xinye("pretrain", "-o", "run", "--resume").err


def test_dry_run_writes_nothing(xinye, workplace):
    before = contents(workplace)
    outcome = xinye("pretrain", "zh.txt", "--dry-run", "--steps", "2", "-o", "run", "--json", *TINY)
    assert outcome.code == 0 and contents(workplace) == before
    for name in ("width", "learning_rate", "steps", "dtype"):
        assert name in outcome.err
    result = json.loads(outcome.out)
    assert result["dry_run"] and result["plan"]["steps"] == 2


def test_a_run_that_exists_is_kept(xinye, run_here):
    before = contents(run_here)
    outcome = xinye("pretrain", "zh.txt", "-o", "run", "--steps", "2", *TINY)
    assert (
        outcome.code == 2 and "--resume" in outcome.complaint and "--overwrite" in outcome.complaint
    )
    assert contents(run_here) == before


@pytest.mark.parametrize("arguments", [[], ["--overwrite"], ["--resume"]], ids=str)
def test_a_folder_that_is_no_run_is_kept(xinye, workplace, arguments):
    (workplace / "letters").mkdir()
    (workplace / "letters" / "mother.txt").write_text("亲爱的妈妈", "utf-8")
    texts = [] if "--resume" in arguments else ["zh.txt", "--steps", "2", *TINY]
    outcome = xinye("pretrain", *texts, "-o", "letters", *arguments)
    assert outcome.code == 2 and "letters: " in outcome.complaint
    assert contents(workplace / "letters") == {"mother.txt": "亲爱的妈妈".encode()}


@pytest.mark.parametrize(
    "arguments",
    [
        ["empty.txt"],
        ["damaged.txt"],
        ["zh.txt", "--heads", "7"],
        ["zh.txt", "--prompt", "新叶" * 99],
    ],
    ids=str,
)
def test_overwriting_with_bad_input_keeps_the_old_run(xinye, run_here, workplace, arguments):
    make_inputs(workplace)
    before = contents(run_here)
    outcome = xinye("pretrain", *TINY, "--steps", "2", *arguments, "-o", "run", "--overwrite")
    assert outcome.code == 2 and outcome.complaint
    assert contents(run_here) == before


def test_overwriting_replaces_the_run(xinye, run_here):
    (run_here / "notes.txt").touch()
    assert xinye("pretrain", "en.txt", "-o", "run", "--steps", "2", "--overwrite", *TINY).code == 0
    assert (run_here / "notes.txt").exists(), "what no run wrote stays"
    assert (
        len((run_here / "training" / "metrics.jsonl").read_text("utf-8").splitlines()) == 2 + 1 + 1
    )


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_is_seen_before_anything_is_written(xinye, run_here, monkeypatch, exists):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: DISK(10**9, 10**9, 1000))
    before = contents(run_here)
    output = "run" if exists else "other"
    outcome = xinye("pretrain", "zh.txt", "-o", output, "--overwrite", "--steps", "2", *TINY)
    assert outcome.code == 1 and "MB are free" in outcome.complaint
    assert contents(run_here) == before and not Path("other").exists()


def test_all_checkpoints_need_their_room(xinye, workplace, monkeypatch):
    planned = xinye("pretrain", "zh.txt", "--steps", "2", "--dry-run", "--json", *TINY)
    free = 100 * json.loads(planned.out)["plan"]["parameters"]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: DISK(10**9, 10**9, free))
    command = ("pretrain", "zh.txt", "-o", "run", "--steps", "2", *TINY)
    outcome = xinye(*command, "--keep-checkpoints", "all")
    assert outcome.code == 1 and "MB are free" in outcome.complaint
    assert not Path("run").exists() and xinye(*command).code == 0


def test_weights_that_leave_the_numbers_are_not_saved(xinye, workplace):
    rates = ["--learning-rate", "1e38", "--matrix-learning-rate", "1e38"]
    outcome = xinye("pretrain", "zh.txt", "-o", "run", "--steps", "3", *TINY, *rates)
    assert outcome.code == 1 and "lower --learning-rate" in outcome.complaint
    assert not Path("run/model.safetensors").exists()


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "--resume needs the run's folder"),
        (["-o", "missing"], "missing: there is no run to resume"),
        (
            ["-o", "run", "--seed", "9"],
            "differ from the saved run: seed was 0, now 9. A resumed run can change only its length "
            "and --micro-batch-size, --activation-checkpointing, --parallel, --shard-cache, --track, "
            "--keep-checkpoints; "
            "leave the others out",
        ),
        (
            ["-o", "run", "--width", "32", "--no-drop-duplicates"],
            "width was 64, now 32; drop_duplicates was True, now False",
        ),
        (["-o", "run", "--overwrite"], "--overwrite"),
    ],
)
def test_resume_is_of_the_same_run(xinye, run_here, arguments, says):
    before = contents(run_here)
    outcome = xinye("pretrain", "--resume", *arguments)
    assert outcome.code == 2 and says in outcome.complaint
    assert contents(run_here) == before


def test_the_command_that_began_a_run_goes_on_with_it(xinye, workplace):
    command = ("pretrain", "zh.txt", "-o", "run", "--steps", "2", "--no-drop-duplicates", *TINY)
    assert xinye(*command).code == 0
    Path("zh.txt").rename("moved.txt")
    again = (
        "pretrain",
        "moved.txt",
        *command[2:],
        "--warmup",
        "1",
        "--tokenizer",
        "run",
        "--micro-batch-size",
        "2",
    )
    assert xinye(*again, "--resume").code == 0  # what was derived may be typed, too


@pytest.mark.parametrize(
    "name, content",
    [
        ("settings.json", b"{}"),
        ("settings.json", b'{"settings": {"layer": 3}}'),
        ("plan.json", b"{"),
        ("plan.json", b"{}"),
        ("plan.json", b'{"values": {}}'),
        ("plan.json", b'{"values": {"compile": false, "steps": "x"}}'),
        ("plan.json", b'{"values": {"compile": false, "steps": 6}, "extended": [{"step": 3}]}'),
        ("checkpoints/step-00000006/progress.json", b"{}"),
        ("checkpoints/step-00000006/progress.json", b""),
        ("checkpoints/step-00000006/model.safetensors", b"\0" * 60),
        ("checkpoints/step-00000006/optimizer.safetensors", b""),
    ],
)
def test_a_damaged_file_is_named_and_kept(xinye, run_here, name, content):
    (run_here / "training" / name).write_bytes(content)
    before = contents(run_here)
    outcome = xinye("pretrain", "-o", "run", "--resume", "--steps", "9")
    where = f"run/training/{name}" if name.endswith(".json") else "run/training/checkpoints/step-"
    assert outcome.code == 2 and where in outcome.complaint
    assert contents(run_here) == before


def test_text_that_changed_is_not_resumed_on(xinye, workplace):
    assert xinye("pretrain", "zh.txt", "-o", "run", "--steps", "2", *TINY).code == 0
    with open("zh.txt", "a", encoding="utf-8") as file:
        file.write("又来了一只小狐狸。")
    outcome = xinye("pretrain", "-o", "run", "--resume", "--steps", "4")
    says = (
        r"the text has changed since the run was started \([\d,]+ bytes at the start, [\d,]+ bytes now; "
        r"[\d,]+ characters at the start, "
    )
    assert outcome.code == 2 and re.search(says, outcome.complaint)


def test_a_run_folder_that_became_read_only(xinye, unprivileged):
    assert xinye("pretrain", "zh.txt", "-o", "run", "--steps", "2", *TINY).code == 0
    before = contents(Path("run"))
    folders = [path for path in (Path("run"), *Path("run").rglob("*")) if path.is_dir()]
    for folder in folders:
        folder.chmod(0o500)
    outcomes = [
        xinye("pretrain", "-o", "run", "--resume", "--steps", "4"),
        xinye("pretrain", "zh.txt", "-o", "run/2", "--steps", "2"),
    ]
    for folder in folders:
        folder.chmod(0o700)
    assert [outcome.code for outcome in outcomes] == [1, 1]
    assert all(
        "run" in outcome.complaint and "ermission denied" in outcome.complaint
        for outcome in outcomes
    )
    assert contents(Path("run")) == before
    assert xinye("pretrain", "-o", "run", "--resume", "--steps", "4").code == 0


def test_interrupted_by_a_key_and_resumed(workplace):
    """The one test with a real process and a real signal."""
    command = [sys.executable, "-m", "xinye", "pretrain", "-o", "run"]
    process = subprocess.Popen(
        [*command, "zh.txt", "--steps", "100000", "--evaluations", "1", "--json", *TINY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
    )
    metrics = workplace / "run" / "training" / "metrics.jsonl"
    until = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size > 1000):
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    done = json.loads(out.splitlines()[-1])["steps"]
    assert (
        f"stopped after step {done:,}; resume with: xinye pretrain -o run --resume"
        in err.splitlines()[-1]
    )
    assert checkpoints(workplace / "run")[-1].name == f"step-{done:08d}"
    assert (workplace / "run" / "model.safetensors").is_file()


def test_overwrite_replaces_what_a_run_wrote_and_nothing_else(xinye, workplace, trained):
    run = Path(shutil.copytree(trained, workplace / "run"))
    (run / "training" / "checkpoints" / "step-00000150.bak").mkdir()
    (run / "adapter_config.json").touch()  # of a run before
    for kept in ("notes.txt", "training/notes.txt", "poems/training/settings.json"):
        (run / kept).parent.mkdir(parents=True, exist_ok=True)
        (run / kept).write_text("{}", "utf-8")
    train = ("pretrain", "zh.txt", "-o", "run", "--overwrite", "--steps", "2", *TINY)
    assert xinye(*train).code == 0
    assert [path.name for path in checkpoints(run)] == ["step-00000001", "step-00000002"]
    assert not (run / "adapter_config.json").exists()
    assert (run / "training" / "checkpoints" / "step-00000150.bak").exists()
    for kept in ("notes.txt", "training/notes.txt", "poems/training/settings.json"):
        assert (run / kept).read_text("utf-8") == "{}"
    elsewhere = (workplace / "elsewhere").resolve()
    for link in (run / "training" / "checkpoints", run / "training", run):
        link.rename(elsewhere)
        link.symlink_to(elsewhere)
        before = contents(workplace)
        outcome = xinye(*train)
        assert (
            outcome.code == 2
            and f"is a link to {elsewhere}" in outcome.complaint
            and contents(workplace) == before
        )
        link.unlink()
        elsewhere.rename(link)


def test_a_time_shows_its_plan_and_a_list_of_plans_repeats_it(xinye, workplace):
    timed = xinye("pretrain", "zh.txt", "-o", "timed", "--time", "3s", *TINY)
    assert timed.code == 0 and "total_time 3 s given;" in " ".join(timed.err.split())
    plan = json.loads(Path("timed/training/plan.json").read_text("utf-8"))["values"]
    pairs = ",".join(f"{step}:{total}" for step, total in plan["total_steps"])
    again = xinye("pretrain", "zh.txt", "-o", "again", "--total-steps", pairs, *TINY)
    assert again.code == 0, again.err
    assert (
        Path("timed/model.safetensors").read_bytes() == Path("again/model.safetensors").read_bytes()
    )


@pytest.mark.parametrize(
    ("kept", "steps"),
    [
        ((), [8, 10]),
        (("--keep-checkpoints", "3"), [6, 8, 10]),
        (("--keep-checkpoints", "all"), [2, 4, 6, 8, 10]),
    ],
)
def test_checkpoints_that_are_kept(xinye, workplace, monkeypatch, kept, steps):
    monkeypatch.setattr(
        recipe, "evaluate", lambda *_: {"loss": 1.0, "bits_per_byte": next(falling)}
    )
    falling = iter(range(9, 0, -1))  # the best one is the last
    assert (
        xinye(
            "pretrain", "zh.txt", "-o", "run", "--steps", "10", "--evaluations", "5", *kept, *TINY
        ).code
        == 0
    )
    assert [step_of(path) for path in checkpoints(workplace / "run")] == steps
