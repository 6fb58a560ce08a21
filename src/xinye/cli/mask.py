"""`xinye data mask`"""

from collections import Counter
from pathlib import Path

from xinye.cli.arguments import BAD_BYTES, JSON, Parser, flag, switch
from xinye.cli.output import answer, bad_bytes_told, console, print_json, verbatim
from xinye.data.masked_files import Masked, mask_file
from xinye.data.personal import KINDS
from xinye.errors import XinyeError, plural
from xinye.language import listed, shown


def mask(arguments: list[str]) -> int:
    given = Parser(
        "data mask",
        "Write a copy of a file in which phone, identity-card and bank-card numbers, mail and IP "
        "addresses, licence plates and logins are marks such as [phone 1]. The same value has the "
        "same mark within a record. Names and postal addresses stay: no rule finds them.",
        "xinye data mask chats.jsonl -o masked.jsonl\n"
        "  xinye data mask 客服记录.csv --field 内容 -o masked.csv",
        flag("file", "FILE", "a text, CSV, TSV, JSON or JSON Lines file"),
        flag("-o --output", "FILE", "the file to write", required=True),
        flag(
            "--field",
            "NAME",
            "mask only this column or key (default: all texts); may be repeated",
            [],
            action="append",
        ),
        BAD_BYTES,
        switch("--overwrite", "replace FILE"),
        JSON,
    ).read(arguments)
    path, output = Path(given.file), Path(given.output)
    if output.is_dir() or (output.exists() and not given.overwrite):
        raise XinyeError(
            f"{output}: exists already; replace it with --overwrite, or choose another with -o"
        )
    with console.status("masking …"), bad_bytes_told(given.bad_bytes):
        result = mask_file(path, output, given.field)
    if given.json:
        print_json(vars(result))
    else:
        show(result)
    return 0


def show(result: Masked) -> None:
    """Print what was masked, by kind."""
    records = plural(result.records, "record")
    values = plural(result.values.total(), "value")
    answer.print(
        f"masked {values} in {result.masked_records:,} of {records}; saved to {result.output}",
        soft_wrap=True,
    )
    for kind, count in result.values.most_common():
        answer.print(verbatim(f"  {count:>9,}  {shown(KINDS[kind].name)}"))
    if result.numbers:
        answer.print(f"note: {left(result.numbers)}", soft_wrap=True)


def left(numbers: Counter[str]) -> str:
    """The JSON numbers that stay, in words."""
    named = listed(f"{name} ({count:,})" for name, count in numbers.most_common(5))
    several = plural(numbers.total(), "number")
    return (
        f"{several} in JSON may be personal data and stay, because a mark is a text: {named}; "
        "write them in quotes, then mask the file again"
    )
