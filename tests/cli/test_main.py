"""The way in: help without waiting, verbs by name, and every failure in one line."""

import subprocess
import sys
import types

import pytest

from xinye.cli import main as entrance
from xinye.tasks.registry import verbs_of_tasks

GROUPS = {
    "tokenizer": ["train", "eval"],
    "knowledge": ["build", "add", "remove", "search", "evaluate"],
    "support": ["prepare"],
    "monitor": ["prepare"],
    "data": ["check", "collect"],
    "runs": ["show", "compare", "clean"],
}
VERBS = [[verb] for verb in entrance.VERBS if verb == "runs" or verb not in GROUPS]
VERBS += [[verb] for verb in verbs_of_tasks()]
VERBS += [[group, verb] for group, verbs in GROUPS.items() for verb in verbs]


def test_help_does_not_import_torch():
    program = f"""
import sys
from xinye.cli.main import main
for verb in [[], *{VERBS!r}]:
    try:
        assert main([*verb, "--help"]) == 0
    except SystemExit as end:
        assert not end.code
assert main(["pretran"]) == 2
heavy = {{"torch", "tokenizers", "transformers", "pyarrow"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_help_leads_with_the_first_verbs(xinye):
    outcome = xinye("--help")
    assert outcome.code == 0 and outcome.err == ""
    places = [
        outcome.out.index(f"  {verb} ") for verb in ("demo", "pretrain", "generate", "tokenizer")
    ]
    assert places == sorted(places)
    assert xinye().out == outcome.out


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_each_verb_shows_an_example(xinye, verb):
    outcome = xinye(*verb, "--help")
    assert outcome.code == 0
    assert f"example:\n  xinye {' '.join(verb)}" in outcome.out and "--json" in outcome.out


def test_version(xinye):
    import xinye as package

    assert xinye("--version").out.strip() == package.__version__


@pytest.mark.parametrize(
    "verb, nearest",
    [("pretran", "pretrain"), ("generat", "generate"), ("tokeniser", "tokenizer"), ("frob", None)],
)
def test_unknown_verb(xinye, verb, nearest):
    outcome = xinye(verb, "--json")
    assert outcome.code == 2 and repr(verb) in outcome.complaint
    assert (f"did you mean '{nearest}'?" in outcome.complaint) == (nearest is not None)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_unknown_flag_names_the_nearest(xinye, verb):
    needed = {"train": ["text.txt", "-o", "mine"], "collect": ["text.txt", "-o", "mine.jsonl"]}
    one = (
        "generate",
        "evaluate",
        "download",
        "eval",
        "check",
        "show",
        "compare",
        "quantize",
        "chat",
        "serve",
        "bench",
    )
    needed |= {key: ["run"] for key in one} | {
        "merge": ["run", "-o", "plain"],
        "export": ["run", "--to", "gguf"],
    }
    needed |= {"classify": ["run", "text"], "tag": ["run", "text"]}
    outcome = xinye(*verb, *needed.get(verb[-1], []), "--jsn")
    assert outcome.code == 2 and "'--jsn'; did you mean '--json'?" in outcome.complaint


@pytest.mark.parametrize(
    "failure, code, says",
    [
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (MemoryError(), 1, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_failures_without_a_traceback(xinye, monkeypatch, failure, code, says):
    def fail(arguments):
        raise failure

    monkeypatch.setitem(sys.modules, "failing_verb", types.SimpleNamespace(main=fail))
    monkeypatch.setitem(entrance.VERBS, "generate", ("failing_verb:main", ""))
    outcome = xinye("generate")
    assert outcome.code == code and says in outcome.complaint


@pytest.mark.parametrize(
    "typed, meant",
    [
        (["sft"], ["finetune"]),
        (["ls"], ["runs"]),
        (["list"], ["runs"]),
        (["rm"], ["runs", "clean"]),
        (["webui"], ["serve"]),
        (["help", "tokenizer", "train"], ["tokenizer", "train"]),
        (["-q", "help", "sft"], ["finetune"]),
    ],
)
def test_words_of_other_tools_lead_to_the_verb(xinye, typed, meant):
    assert xinye(*typed, "--help").out == xinye(*meant, "--help").out != ""


def test_a_guess_is_made_only_where_it_is_near(xinye):
    assert "did you mean" not in xinye("harvest").complaint
    assert xinye("-V").out == xinye("--version").out


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("verb", [["--help"], ["pretrain", "--help"], ["help", "serve"]])
def test_help_fits_the_terminal(xinye, monkeypatch, columns, verb):
    monkeypatch.setenv("COLUMNS", str(columns))
    help_text = xinye(*verb).out.split("example:")[0]
    lines = [line for line in help_text.splitlines() if not line.startswith("usage:")]
    assert max(map(len, lines)) <= min(columns, 100)


def test_help_has_groups_and_metavars(xinye):
    text = xinye("pretrain", "--help").out
    titles = ("data:", "model:", "training length:", "optimization:", "machine:", "output:")
    places = [text.index(f"\n\n{title}\n") for title in titles]
    assert places == sorted(places)
    for flag in ("--from MODEL", "--time DURATION", "-o DIR", "--layers N", "--clip X"):
        assert flag in text
    assert "how they learned" in xinye("runs", "--help").out
    assert "XINYE_API_KEY" in xinye("--help").out


def test_quiet_and_verbose(xinye, workplace, monkeypatch, caplog):
    from xinye.cli.output import console

    monkeypatch.setattr(console, "quiet", False)  # and so again after the test
    assert xinye("runs").err != ""
    outcome = xinye("-q", "runs")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert "no such folder" in xinye("-q", "runs", "show", "runs/none").complaint
    with caplog.at_level("INFO", "xinye"):  # the level that --verbose sets ends with the test
        caplog.handler.setLevel("DEBUG")
        xinye("runs", "show", "runs/none")
        assert caplog.records == []
        xinye("runs", "show", "runs/none", "-v")
        assert caplog.records[0].exc_info


def test_a_run_that_is_missing_is_not_one_to_download(xinye, workplace):
    assert "there are no runs in runs" in xinye("generate", "runs/reviews", "x").complaint
    (workplace / "runs" / "review s" / "training").mkdir(parents=True)
    (workplace / "runs" / "novel" / "training").mkdir(parents=True)
    said = xinye("generate", "runs/reviews", "x").complaint
    assert "did you mean 'runs/review s'?" in said and "download" not in said
    assert "list the runs with xinye runs runs" in xinye("runs", "show", "runs/zzz").complaint
    assert "xinye download gpt2" in xinye("generate", "gpt2", "x").complaint


@pytest.mark.parametrize(
    "command, says",
    [
        (
            "demo --task classfy",
            "chat; did you mean 'classify'?",
        ),
        ("demo --language zhh", "--language 'zhh': choose zh or en"),
        ("pretrain zh.txt --optimizer moun", "'adamw' or 'sgd'; did you mean 'muon'?"),
        ("finetune a --task clasify --data b -o c", "did you mean 'classify'?"),
        ("export a --to ggfu", "'ggfu': choose one of gguf, onnx; did you mean 'gguf'?"),
        ("tokenizer train zh.txt -o mine --kind bp", "did you mean 'bpe'?"),
        # what other tools call it, what another verb calls it, and what is alike by chance
        ("finetune a --lr 0.1", "'--lr'; did you mean '--learning-rate'? (try"),
        ("finetune a --time 25s", "'--time'; did you mean '--epochs' or '--steps'? (try"),
        ("finetune a --Learning_Rate=1", "did you mean '--learning-rate'?"),
        ("finetune a --model_name_or_path b", "give it without a flag: xinye finetune MODEL"),
        ("pretrain a --n_ctx 256", "did you mean '--context'?"),
        ("generate a --max-length 9", "did you mean '--max-tokens'?"),
        ("finetune a --compile no", "'--compile'; only xinye pretrain compiles"),
        ("merge a --bad", "unknown argument '--bad' (try"),
        ("finetune a b.csv", "'b.csv'; if it is a file: --data b.csv"),
        ("trian", "unknown command 'trian'; did you mean 'pretrain'?"),
        ("predict", "did you mean 'generate' or 'classify' or 'tag'?"),
        ("delete", "did you mean 'runs clean'?"),
        ("runs delete", "delete: there is no such folder; did you mean 'runs clean'?"),
        ("训练", "did you mean 'pretrain' or 'finetune'?"),
        # a mistyped flag comes before what seems to be missing then
        ("generate --promts x", "unknown argument '--promts'; did you mean '--prompts'?"),
        ("data nope.txt", "xinye data: unknown command 'nope.txt'; choose from"),
        ("merge nope -o m", "nope: there is no such folder"),
    ],
)
def test_a_wrong_word_leads_to_the_right_one(xinye, workplace, command, says):
    outcome = xinye(*command.split())
    assert outcome.code == 2 and says in outcome.complaint


def test_a_file_that_is_not_there_is_no_text_and_no_name_of_the_hub(xinye, trained, workplace):
    missing = xinye("generate", "nope.txt")
    assert missing.code == 2 and "download" not in missing.complaint
    text = xinye("classify", trained, "nope.txt")
    assert text.code == 2 and "nope.txt: there is no such file" in text.complaint


def test_help_says_that_a_minus_reads_a_pipe(xinye):
    for verb in ("classify", "tag", "chat", "generate"):
        help_text = xinye(verb, "--help").out
        assert "a pipe" in " ".join(help_text.split()), verb


def test_a_wrong_setting_is_called_as_it_was_typed(xinye):
    for typed in (("serve", "m", "--max-tokens", "0"), ("generate", "m", "--max-tokens=0")):
        said = f"xinye {typed[0]}: --max-tokens: 0 is too small; use at least 1"
        assert said in xinye(*typed).complaint
