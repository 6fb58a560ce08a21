"""`xinye write`: a text of a kind from facts."""

from dataclasses import astuple
from pathlib import Path
from typing import Any

from xinye.cli.arguments import BAD_BYTES, JSON, Fields, Parser, flag
from xinye.cli.output import Display, answer, bad_bytes_told, console, print_json, verbatim
from xinye.errors import XinyeError, checked, refuse_first
from xinye.planning.writing_settings import WriteSettings
from xinye.retrieval.documents import documents
from xinye.tasks.registry import find_text_task

MODEL = "folder of a model fine-tuned with xinye finetune --task write"


def parser() -> Parser:
    return Parser(
        "write",
        "Write news, a mail, an advert or a story from facts. The model was fine-tuned to write; "
        "with --examples, any model can do it.",
        "xinye write runs/writer --kind mail --facts 收件人=王女士 --facts 时间=5月3日\n"
        "  xinye write runs/writer --kind mail --facts 茶=白茶 --reply-to mail.txt",
        flag("model", "MODEL", MODEL),
        flag(
            "--facts",
            "KEY=VALUE",
            "a fact that the text should have; can be given several times",
            [],
            action="append",
        ),
        flag("--reply-to", "FILE", "the mail to answer, for --kind mail", type=Path),
        BAD_BYTES,
        JSON,
        Fields(WriteSettings, ("reply_to",)),
    )


def main(arguments: list[str]) -> int:
    given = parser().read(arguments)
    values: dict[str, Any] = given.settings
    mail = values.pop("reply_to", None)
    if mail is not None:
        with bad_bytes_told(given.bad_bytes):
            values["reply_to"] = mail_in(mail)
    settings = checked(WriteSettings, values, "write")

    from xinye.tasks.write_facts import read_fact

    odd = next((fact for fact in given.facts if not all(astuple(read_fact(fact)))), "")
    refuse_first(
        (not given.facts, "give the facts: --facts KEY=VALUE, once for each"),
        (odd, f"--facts {odd!r}: expected KEY=VALUE, such as --facts 时间=8点"),
        (mail and settings.kind not in (None, "mail"), "--reply-to is for --kind mail"),
    )

    from xinye.api import load

    model = load(given.model)
    with Display() as display:
        [result] = model.use("write", [given.facts], observer=display, **values)
    task = find_text_task("write")
    if given.json:
        print_json({"facts": given.facts, **task.told(result)})
        return 0
    answer.print(verbatim(result["text"]), soft_wrap=True)
    for note in task.notes_on(result):
        console.print(f"note: {note}", soft_wrap=True)
    return 0


def mail_in(path: Path) -> str:
    """The text of a file with a mail, of any format that Xinye reads. Raises `XinyeError` if there
    is none."""
    if not path.is_file():
        raise XinyeError(f"--reply-to {path}: there is no such file")
    text = "\n".join(document.text for document in documents(path)).strip()
    if not text:
        raise XinyeError(f"--reply-to {path}: the file is empty")
    return text
