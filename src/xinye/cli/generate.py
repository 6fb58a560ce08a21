"""`xinye generate`, and `xinye chat`: a conversation on a terminal, otherwise a single answer."""

import sys
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.cli.arguments import (
    ANY_MODEL,
    BAD_BYTES,
    DTYPE,
    JSON,
    MODEL,
    Fields,
    Given,
    Parser,
    flag,
    read_stdin,
    typed,
)
from xinye.cli.consult import consulted_json, show_share, show_sources
from xinye.cli.output import (
    Display,
    bad_bytes_told,
    console,
    duration,
    prepare_writing,
    print_json,
    verbatim,
    write,
)
from xinye.data.files import one_file
from xinye.errors import XinyeError, checked, did_you_mean, plural, quoted
from xinye.generation.sampling import ChatSampling, Sampling
from xinye.runs.taught import never_taught_to_answer

if TYPE_CHECKING:  # they bring torch
    from xinye.api import Model
    from xinye.generation.chat import Conversation

MOST_TEXTS = 4096  # at once, because all are in memory
LEAVING = ("/quit", "/exit", "/bye")
COMMANDS = ("/reset", "/system", "/temperature", "/save", "/load", "/help", *LEAVING)
HELP = (
    "/reset            start again (the system message stays)",
    "/system TEXT      set the system message; /system alone shows it",
    "/temperature X    0 always takes the most likely token; higher values are more varied",
    "/save FILE        save the conversation as JSON, in OpenAI's format",
    "/load FILE        load a saved conversation and continue it",
    "/help             show this list",
    "/quit             leave (also /exit and /bye)",
    'A line that ends in \\ continues in the next one; text between """ and """ can have several '
    "lines.",
    "To send a message that begins with /, put a space before it. Ctrl-C stops an answer; Ctrl-D "
    "leaves.",
)


def generate(arguments: list[str]) -> int:
    given = Parser(
        "generate",
        "Write text with a model. It continues the prompt; without one it starts a new text.",
        'xinye generate runs/novel "话说" --max-tokens 200 --temperature 0.8 --top-p 0.95 -n 3',
        ANY_MODEL,
        flag("prompt", "PROMPT", "beginning of the text; - reads it from a pipe", "", nargs="?"),
        flag(
            "--prompts",
            "FILE",
            'file with a prompt in each line: {"prompt": "…"} or {"messages": […]}',
            type=Path,
        ),
        BAD_BYTES,
        flag(
            "-o --output",
            "FILE",
            ("file for the results, one line each; running the command again resumes it"),
        ),
        flag("-n", "N", "number of texts to write (1)", 1, type=int),
        DTYPE,
        flag(
            "--speculation",
            "auto|off|MODEL",
            "speculative decoding: guess tokens from the text itself (auto), or "
            "with a small model that has the same tokenizer; the texts stay the "
            "same",
            "auto",
        ),
        JSON,
        Fields(Sampling),
    ).read(arguments)
    if not 1 <= given.n <= MOST_TEXTS:
        raise XinyeError(f"-n {given.n}: give a number from 1 to {MOST_TEXTS:,}")
    checked(Sampling, given.settings, "generate")
    if (given.prompts is None) != (given.output is None):
        raise XinyeError("--prompts FILE and -o FILE go together; give both")
    if given.prompts is None and "logprobs" in given.settings and not given.json:
        raise XinyeError("--logprobs needs --json, which prints them")
    if given.prompts is not None:
        if given.prompt:
            raise XinyeError("give either a prompt or a file of prompts with --prompts, not both")
        one_file(given.prompts)

    from xinye.api import load

    model = load(given.model, given.dtype, given.speculation)
    prepare_writing()
    return write_texts(model, given) if given.prompts is None else write_file(model, given)


def write_texts(model: "Model", given: Given) -> int:
    """Continue one prompt and print the texts."""
    prompt = read_stdin().removesuffix("\n") if given.prompt == "-" else given.prompt
    if not given.json and given.n == 1:
        pieces = model.stream(prompt, **given.settings)
        first = next(pieces, "")  # an error comes before the prompt is printed
        write(chain([prompt + first], pieces), exact=True)
        return 0
    texts = model.complete([prompt] * given.n, **given.settings)
    if not given.json:
        for number, text in enumerate(texts, start=1):
            write([f"--- {number} ---\n{prompt}{text.text}"], exact=True)
        return 0
    result = {
        "texts": [text.text for text in texts],
        "finish_reasons": [text.finish_reason for text in texts],
        "usage": {
            "prompt_tokens": texts[0].prompt_tokens,
            "completion_tokens": sum(text.completion_tokens for text in texts),
        },
    }
    if "logprobs" in given.settings:
        result["logprobs"] = [text.logprobs for text in texts]
    print_json(result)
    return 0


def write_file(model: "Model", given: Given) -> int:
    """Write texts for a file of prompts. Returns exit code 1 if some failed."""
    with Display() as display, bad_bytes_told(given.bad_bytes):
        result = model.generate_file(
            given.prompts, given.output, n=given.n, observer=display, **given.settings
        )
    said = (
        f"wrote {plural(result['texts'], 'text')} with {plural(result['tokens'], 'token')} in "
        f"{duration(result['seconds'])} ({result['tokens_per_second']:,.0f} tokens/s), saved to "
        f"{given.output}"
    )
    if done := result["done_before"]:
        said += f"; {plural(done, 'prompt was already done', 'prompts were already done')}"
    if failed := len(result["errors"]):
        said += f"; {plural(failed, 'prompt failed', 'prompts failed')}"
    console.print(said, soft_wrap=True)
    if given.json:
        print_json(result)
    return 1 if result["errors"] else 0


# -- chat ------------------------------------------------------------------------------------------


def chat(arguments: list[str]) -> int:
    given = Parser(
        "chat",
        "Chat with a model in its own chat template; /help lists the commands. "
        "With -p, or if standard input is not a terminal, it answers once.",
        'xinye chat MODEL --system "Answer in one sentence." -p "为什么天是蓝的？"\n'
        "  cat question.txt | xinye chat MODEL -p -",
        MODEL,
        flag("-p --prompt", "TEXT", "answer this and exit; - reads it from a pipe"),
        flag("--system", "TEXT", "the system message", ""),
        flag(
            "--knowledge",
            "KB",
            "answer each question from the passages of this knowledge base, and cite them",
            type=Path,
        ),
        JSON,
        Fields(ChatSampling, without=("logprobs",)),
    ).read(arguments)
    # What is written from passages shall be likely, not varied.
    greedy = {"temperature": 0} if given.knowledge else {}
    sampling = checked(ChatSampling, greedy | given.settings, "chat")
    question = given.prompt
    piped = question is None and not (sys.stdin.isatty() and sys.stdout.isatty())
    if piped or question == "-":
        question = read_stdin()
    if question is not None and not question.strip():
        raise XinyeError("the question is empty: give it with -p, or on standard input")
    if question is None and given.json:
        raise XinyeError(
            "--json prints one answer: give the question with -p, or on standard input"
        )

    conversation, title = begin(given, sampling)
    if question is not None:
        answer_once(conversation, question.strip(), given.json)
    else:
        talk(conversation, title)
        show_share(conversation)
    return 0


def begin(given: Given, sampling: ChatSampling) -> tuple["Conversation", str]:
    """A conversation with the model, from a knowledge base if one is given, and its title."""
    from xinye.api import load
    from xinye.generation.chat import Conversation
    from xinye.jobs.composing import Consultation
    from xinye.retrieval.knowledge import KnowledgeBase

    path = given.model
    base = KnowledgeBase(given.knowledge) if given.knowledge else None
    model = load(path)
    teach = f"fine-tune it: xinye finetune {quoted(path)} --task chat --data FILE -o RUN"
    if model.tokenizer.chat_template is None:
        raise XinyeError(
            f"{path}: this model has no chat template; continue a text with it: "
            f'xinye generate {quoted(path)} "…"; or {teach}'
        )
    prepare_writing()
    if never_taught_to_answer(Path(path)):
        console.print(
            f"{path} is not fine-tuned to answer, it only continues text; {teach}",
            style="dim",
            soft_wrap=True,
        )
    title = f"{path}: {model.gpt.config.parameters:,} parameters"
    if base is None:
        return Conversation(model.engine, sampling, given.system), title
    title += f", answers from {given.knowledge}"
    return Consultation(model.engine, sampling, base, given.system), title


def answer_once(conversation: "Conversation", question: str, as_json: bool) -> None:
    pieces = conversation.answer(question)
    if not as_json:
        write(pieces)
        show_sources(conversation)
        return
    message = {"role": "assistant", "content": "".join(pieces)}
    if consulted := consulted_json(conversation):
        print_json({"message": message, **consulted})
        return
    reply = conversation.reply
    assert reply is not None
    print_json(
        {
            "message": message,
            "finish_reason": reply.finish_reason,
            "usage": {
                "prompt_tokens": reply.prompt_tokens,
                "completion_tokens": reply.completion_tokens,
            },
        }
    )


def talk(conversation: "Conversation", title: str) -> None:
    """Read lines and answer them until the user leaves."""
    with suppress(ImportError):
        import readline  # noqa: F401  (from here on `input` edits lines, right for Chinese, too)
    sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # `typed` decodes
    console.print(
        f"{title}, context {conversation.engine.context:,}; /help lists the "
        "commands, Ctrl-D leaves",
        style="dim",
    )
    # `stopped`: the last key was Ctrl-C; `warned`: the user knows that the context is full
    stopped = warned = False
    while True:
        try:
            line = typed(input(">>> "))
            if line.startswith("/"):
                if line.strip() in LEAVING:
                    return
                command(conversation, line)
            elif question := whole(line).strip():
                answer(conversation, question)
            stopped = False
            if conversation.forgotten and not warned:
                warned = True
                console.print(
                    (
                        "the context is full: from now on the model no longer sees "
                        "the oldest messages"
                    ),
                    style="dim",
                )
        except (XinyeError, OSError) as error:
            console.print(str(error), style="yellow", soft_wrap=True)
        except (EOFError, KeyboardInterrupt) as end:
            console.print()
            if stopped or isinstance(end, EOFError):
                return
            stopped = True
            console.print("press Ctrl-C again to leave", style="dim")


def whole(line: str) -> str:
    """The whole message that begins with this line."""
    if not line.startswith('"""'):
        while line.endswith("\\"):
            line = line[:-1] + "\n" + typed(input("... "))
        return line
    text = line[3:]
    while not text.rstrip().endswith('"""'):
        text += "\n" + typed(input("... "))
    return text.rstrip().removesuffix('"""')


def answer(conversation: "Conversation", question: str) -> None:
    with closing(conversation.answer(question)) as pieces:
        write(pieces)
    show_sources(conversation)
    reply = conversation.reply
    if reply and reply.finish_reason == "length":
        console.print(
            f"cut off after {plural(reply.completion_tokens, 'token')}: the limit of "
            "--max-tokens or of the context was reached",
            style="dim",
        )


def command(conversation: "Conversation", line: str) -> None:
    """Run a command, which is a line that begins with /."""
    from xinye.generation.chat import load_messages, save_messages

    name, _, rest = (part.strip() for part in line.partition(" "))
    if name in ("/save", "/load") and not rest:
        raise XinyeError(f"{name}: give a file name after the command")
    path = Path(rest).expanduser()
    match name:
        case "/reset":
            conversation.reset()
        case "/system":
            conversation.system = rest or conversation.system
            system = conversation.system
            console.print(verbatim(system) if system else "there is no system message")
        case "/temperature":
            given = {"temperature": rest} if rest else {}
            settings = conversation.sampling.model_dump() | given
            conversation.sampling = checked(ChatSampling, settings, name)
            console.print(f"temperature {conversation.sampling.temperature:g}")
        case "/save":
            save_messages(path, conversation.messages)
            console.print(f"{plural(len(conversation.messages), 'message')} saved to {rest}")
        case "/load":
            conversation.messages = load_messages(path)
            console.print(
                f"loaded {plural(len(conversation.messages), 'message')}"
                "; the conversation continues there"
            )
        case "/help":
            console.print("\n".join(HELP))
        case _:
            raise XinyeError(
                f"unknown command {name}; /help lists all commands{did_you_mean(name, COMMANDS)}"
            )
