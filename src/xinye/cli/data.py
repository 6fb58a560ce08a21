"""`xinye data check` and `xinye data collect`"""

from xinye.cli.arguments import Parser, run_group


def main(arguments: list[str]) -> int:
    verbs = {
        "check": (check, "what is in text files, and what is wrong with them"),
        "collect": (collect, "documents from dumps, web pages, books, mail and feeds"),
    }
    return run_group("data", verbs, arguments)


def check(arguments: list[str]) -> int:
    parser = Parser(
        "data check",
        "What is in text files and what is wrong with them, by file and line. Changes nothing; the exit code is 0 also "
        "where\nproblems were found, and 2 where no file has text that can be read.",
        "xinye data check novels/ reviews.csv --field review",
    )
    parser.add_argument("files", nargs="+", metavar="FILES", help="files, folders or globs of text")
    parser.add_argument("--field", default=None, metavar="NAME", help="the column or key that holds the text")
    parser.add_argument(
        "--document-separator",
        default=None,
        metavar="TEXT",
        help=r"what stands between documents of a text file: '\n\n'",
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)

    from xinye.cli.data_check import show
    from xinye.cli.output import console, print_json
    from xinye.recipes import check_data

    with console.status("reading …") as status:
        report = check_data.check(
            values["files"], values["field"], values["document_separator"],
            lambda characters: status.update(f"{characters / 1e6:,.0f} million characters …"),
        )  # fmt: skip
    if values["json"]:
        print_json(report)
    else:
        show(report)
    return 0


def collect(arguments: list[str]) -> int:
    raise NotImplementedError
