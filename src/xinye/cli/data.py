"""`xinye data check` and `xinye data collect`"""

from xinye.cli.arguments import run_group


def main(arguments: list[str]) -> int:
    verbs = {
        "check": (check, "what is in text files, and what is wrong with them"),
        "collect": (collect, "documents from dumps, web pages, books, mail and feeds"),
    }
    return run_group("data", verbs, arguments)


def check(arguments: list[str]) -> int:
    raise NotImplementedError


def collect(arguments: list[str]) -> int:
    raise NotImplementedError
