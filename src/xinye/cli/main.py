"""`xinye VERB …`: finds the command's file and runs it. Nothing slow is imported before that."""

import errno
import io
import logging
import os
import shutil
import sys
import time
from collections.abc import Mapping
from functools import partial

from xinye.checkpoints.bases import based_on
from xinye.cli.verbs import ALIASES, verb_meant
from xinye.errors import OfOneProcess, XinyeError, print_error
from xinye.language import shown, wrapped
from xinye.tasks.registry import TASKS, found, verbs_of_tasks

log = logging.getLogger("xinye")
VERBS = {  # command: (function, summary); groups have no function
    "demo": ("xinye.cli.demo:main", "train a small GPT, watch it learn, read what it writes"),
    "pretrain": ("xinye.cli.training:pretrain", "train a GPT of your own on your text"),
    "generate": ("xinye.cli.generate:generate", "write text with a model"),
    "chat": ("xinye.cli.generate:chat", "chat with a model that has a chat template"),
    "serve": (
        "xinye.cli.serve:main",
        "serve models over an OpenAI-compatible HTTP API, with a web page to write and chat",
    ),
    "download": ("xinye.cli.models:download", "download a model from the Hugging Face hub"),
    "finetune": ("xinye.cli.training:finetune", "fine-tune a model on a task's records"),
    "explain": (
        "xinye.cli.explain:main",
        "show which words decided: for a label, an entity or an answer",
    ),
    "doctor": ("xinye.cli.machine:doctor", "show what this machine can do, and how to improve it"),
    "bench": (
        "xinye.cli.machine:bench",
        "measure how fast a model writes, one text and many at once",
    ),
    "data": ("", "check text before training; mask, collect and prepare it"),
    "tokenizer": ("", "train a tokenizer; compare tokenizers"),
    "evaluate": (
        "xinye.cli.evaluate:evaluate",
        "evaluate how well a model predicts a text, compared with baselines",
    ),
    "compare": (
        "xinye.cli.studies:compare",
        "compare architectures on the same text with the same budget",
    ),
    "distill": ("xinye.cli.studies:distill", "train a small model on a larger one's predictions"),
    "merge": ("xinye.cli.models:merge", "merge an adapter into the weights of its base model"),
    "tune": ("xinye.cli.studies:tune", ("search for better settings than the default plan's")),
    "plan": (
        "xinye.cli.studies:plan",
        "find the best model size for a text and a time; or plan for GPUs on paper",
    ),
    "export": (
        "xinye.cli.models:export",
        "write a model for other tools, such as GGUF for llama.cpp and Ollama",
    ),
    "quantize": (
        "xinye.cli.models:quantize",
        "make a model smaller: GGUF with weights of 8 or 4 bits",
    ),
    "runs": ("xinye.cli.runs:main", "list, show, compare and clean runs"),
    "knowledge": ("", "build a knowledge base of documents, and search it"),
    "support": ("", "customer service: make a desk of old logs and documents, and serve it"),
    "monitor": ("", "opinion monitor: topics, moods, trends and alarms of a stream of texts"),
}
GROUPS = {  # commands of two words
    "data": {
        "check": ("xinye.cli.data:check", "report the contents and problems of text files"),
        "show": (
            "xinye.cli.data:show",
            ("show records as the model reads them: each token, and which ones it trains on"),
        ),
        "mask": (
            "xinye.cli.mask:mask",
            "copy a file with masked phone numbers, mail addresses and other personal data",
        ),
        "collect": (
            "xinye.cli.collect:collect",
            "collect documents from dumps, web pages, books, mail and feeds",
        ),
        "prepare": (
            "xinye.cli.prepare:prepare",
            "tokenize texts in several processes, into a corpus to train on",
        ),
    },
    "tokenizer": {
        "train": ("xinye.cli.tokenizer:train", "train a tokenizer on text"),
        "eval": ("xinye.cli.tokenizer:evaluate", "compare tokenizers on a text"),
    },
    "knowledge": {
        "build": ("xinye.cli.knowledge:build", "build a knowledge base of documents"),
        "add": ("xinye.cli.knowledge:add", "add documents, or read changed files again"),
        "remove": ("xinye.cli.knowledge:remove", "remove documents"),
        "search": ("xinye.cli.knowledge:search", "find the passages that match a question"),
        "evaluate": (
            "xinye.cli.knowledge:evaluate",
            "measure how often it finds the answer",
        ),
        "calibrate": ("xinye.cli.refusal:calibrate", "learn when to say that it has no answer"),
        "pairs": ("xinye.cli.knowledge:pairs", "write the records that train a reranker"),
    },
    "support": {
        "prepare": ("xinye.cli.support:prepare", "make a desk of old logs and documents"),
        "evaluate": (
            "xinye.cli.support_quality:evaluate",
            "ask a desk the questions that were kept apart",
        ),
        "serve": (
            "xinye.cli.support_serve:serve",
            "serve a desk: pages for customers and operators, and an HTTP API",
        ),
        "improve": ("xinye.cli.support_quality:improve", "learn from approved feedback"),
        "export": (
            "xinye.cli.support_serve:export",
            "write the records that approved feedback makes",
        ),
        "forget": ("xinye.cli.support_serve:forget", "delete the messages of a customer"),
        "log": ("xinye.cli.support_serve:log", "show who did what, and why"),
    },
    "monitor": {
        "prepare": ("xinye.cli.monitor:prepare", "train a monitor on labelled texts"),
        "run": ("xinye.cli.monitor:run", "read sources, count topics and moods, raise alarms"),
        "evaluate": (
            "xinye.cli.monitor_quality:evaluate",
            "test a monitor on texts that were kept apart",
        ),
        "serve": (
            "xinye.cli.monitor_serve:serve",
            "serve a monitor: a board with alarms, and an HTTP API",
        ),
        "replay": ("xinye.cli.monitor:replay", "show the alarms of past documents"),
        "improve": ("xinye.cli.monitor_quality:improve", "learn from approved corrections"),
        "outbox": (
            "xinye.cli.monitor_outbox:outbox",
            "show messages that did not arrive, and send them again",
        ),
    },
}
SECOND_WORDS = {**GROUPS, "runs": ("list", "show", "compare", "verify", "clean")}
START_HERE = ("demo", "pretrain", "generate", "finetune", "serve")
ENVIRONMENT = {  # docs/install.md lists all of them
    "XINYE_API_KEY": "the API key that clients of xinye serve must send",
    "XINYE_OPERATOR_KEY": "the operator key of xinye support serve",
    "XINYE_ANALYST_KEY": "the analyst key of xinye monitor serve",
    "XINYE_INGEST_KEY": "the key of programs that send documents to xinye monitor serve",
    "XINYE_CLIENT_KEY": "the key of programs that ask xinye recommend --serve",
    "XINYE_EDITOR_KEY": "the key of who puts items into xinye recommend --serve",
    "XINYE_ADMIN_KEY": "the admin key of xinye support serve and xinye monitor serve",
    "XINYE_CACHE": "folder of the prepared text (~/.cache/xinye)",
    "HF_HOME": "folder of the downloaded models (~/.cache/huggingface)",
    "CUDA_VISIBLE_DEVICES": "the GPUs to use; empty: none",
    "OMP_NUM_THREADS": "number of CPU threads (default: all cores)",
    "XINYE_LANGUAGE": "zh or en: the language of messages (from the locale)",
}


def rows(summaries: Mapping[str, str], indent: int) -> str:
    """Words with their meanings, one per line, wrapped to the terminal's width."""
    columns = min(shutil.get_terminal_size((100, 24)).columns, 100)
    width = max(indent + 20, columns) - indent
    behind = "\n" + " " * indent
    return "\n".join(
        f"  {word}".ljust(indent) + wrapped(shown(summary), width).replace("\n", behind)
        for word, summary in summaries.items()
    )


def help_text() -> str:
    summaries = {verb: summary for verb, (_, summary) in VERBS.items()}
    lines = partial(rows, indent=14)
    first = {verb: summaries.pop(verb) for verb in START_HERE}
    fine_tuned = verbs_of_tasks() | {"explain": summaries.pop("explain")}
    parts = (
        ("Xinye 新叶: from raw text to a GPT of your own", ""),
        (
            (
                "usage: xinye COMMAND …   (xinye COMMAND --help, or xinye help COMMAND, shows its "
                "flags)"
            ),
            "",
        ),
        ("start here:", lines(first)),
        ("to use a fine-tuned model:", lines(fine_tuned)),
        ("other commands:", lines(summaries)),
        ("environment variables:", rows(ENVIRONMENT, indent=24)),
        (("with --json, every command prints one JSON object, last on standard output"), ""),
        ("-V, --version   -v, --verbose: log more   -q, --quiet: results and errors only", ""),
    )
    return "\n\n".join(f"{shown(title)}\n{text}".strip() for title, text in parts)


def run(verb: str, arguments: list[str]) -> int:
    """Run a known command, or one of a group. Returns the exit code."""
    if verb == "help":
        print(help_text())
        return 0
    if verb == "version":
        from importlib.metadata import version

        print(version("xinye"))
        return 0
    if verb not in VERBS:
        if TASKS[verb].command:
            return int(found(TASKS[verb].command)(arguments))
        from xinye.cli.use import use

        return use(verb, arguments)
    if verb not in GROUPS:
        return int(found(VERBS[verb][0])(arguments))
    verbs = GROUPS[verb]
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = rows({name: summary for name, (_, summary) in verbs.items()}, indent=12)
        usage = f"usage: xinye {verb} COMMAND …   (xinye {verb} COMMAND --help shows its flags)"
        print(f"{shown(usage)}\n\n{lines}")
        return 0
    name, *rest = arguments
    if name not in verbs:
        known = ", ".join(f"{verb} {each}" for each in verbs)
        raise XinyeError(
            f"unknown command {name!r}; choose from {known}{verb_meant(name, verbs, verb)}"
        )
    return int(found(verbs[name][0])(rest))


def as_typed(message: str, arguments: list[str]) -> str:
    """A message about a setting, such as `max_tokens: …`, that names the flag which was typed."""
    setting, colon, rest = message.partition(": ")
    flag = f"--{setting.replace('_', '-')}"
    typed = any(argument.partition("=")[0] == flag for argument in arguments)
    return f"{flag}{colon}{rest}" if colon and typed else message


def in_order(arguments: list[str]) -> list[str]:
    """The arguments with the command first, by its own name; flags before it are moved behind
    it.
    """
    arguments = [*arguments]
    early = []
    while arguments and arguments[0] in ("-v", "--verbose", "-q", "--quiet"):
        early.append(arguments.pop(0))
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [*arguments[1:], "--help"]
    if arguments and arguments[0] in ALIASES:
        arguments[:1] = ALIASES[arguments[0]]
    words = 2 if arguments and arguments[0] in SECOND_WORDS else 1
    return arguments[:words] + early + arguments[words:]


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0 for success, 1 for failure, 2 for wrong use, 128 +
    a signal.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    # Escape characters that the encoding lacks, as on standard error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    verb, *rest = in_order(arguments) or ["help"]
    known = ["help", "version", *VERBS, *verbs_of_tasks()]
    verb = {"-h": "help", "--help": "help", "-V": "version", "--version": "version"}.get(verb, verb)
    if verb not in known:
        wrong = f"unknown command {verb!r}{verb_meant(verb, known)}"
        print_error(f"xinye: {wrong} (try xinye --help)")
        return 2
    second = rest and rest[0] in SECOND_WORDS.get(verb, ())
    name = f"{verb} {rest[0]}" if second else verb
    try:
        with based_on(None):  # --base only applies to this command
            return run(verb, rest)
    except XinyeError as error:
        log.debug("where the error came from", exc_info=True)  # with --verbose
        from xinye.console import FIRST

        if isinstance(error, OfOneProcess):
            if error.told:
                return error.exit_code
        elif not FIRST:  # the first process prints the error; then the launcher ends the others
            time.sleep(10)
            return error.exit_code
        said = str(error)
        for word in (name, *name.split()):
            said = said.removeprefix(f"{word}: ")
        print_error(f"xinye {name}: {as_typed(said, rest)}")
        return error.exit_code
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print_error(f"xinye {name}: interrupted")
        return 130
    # A full disk or missing permissions, which a traceback would not explain.
    except (OSError, MemoryError) as error:
        log.debug("where the error came from", exc_info=True)
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            print_error(f"xinye {name}: {str(error.filename)[:60]}…: the file name is too long")
            return 2
        print_error(f"xinye {name}: {' '.join(str(error).split())[:300] or 'out of memory'}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
