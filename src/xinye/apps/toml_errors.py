"""What is wrong in a TOML file, in words for a person who edits it."""

import re

WIDE = dict(zip("“”„＂‘’，＝［］", '""""\'\',=[]', strict=True))  # signs of a Chinese keyboard
PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
OF_PARTS = re.compile("(?:Invalid initial character)")  # where a part of a name begins
OF_NAMES = re.compile("(?:Invalid statement|Invalid initial character|Expected '=' after a key)")
OPEN = re.compile("(?:Unclosed|Unterminated|Expected newline|Illegal character)")


def toml_problem(text: str, error: ValueError) -> tuple[int, str]:
    """The number of the line that is wrong, 0 if it is not known, and what is wrong and to do."""
    said = " ".join(str(error).split())
    place = PLACE.search(said)
    reason = said[: place.start()] if place else said
    number = int(place["line"] or 0) if place else 0
    lines = text.splitlines()
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    bare = re.sub(r'"[^"]*"|#.*', "", line)
    if wide := [sign for sign in WIDE if sign in bare]:
        return number, f"write {WIDE[wide[0]]} instead of {wide[0]}"
    begin = int(place["column"] or 1) - 1 if place and OF_PARTS.match(reason) else 0
    if OF_NAMES.match(reason) and (name := _name(line[begin:])):
        return number, (
            f'write the name in quotes: "{name}"; names with other signs than A-Z, 0-9, _ and - '
            "need them"
        )
    if reason == "Invalid value" and line.partition("#")[0].strip().endswith("="):
        return number, "a value is missing behind ="
    if reason == "Invalid value" and line:
        return number, 'put texts into quotes: "…"; write true and false with small letters'
    if OPEN.match(reason):
        return number, "a quote, a bracket or a comma is missing here or before"
    if reason.startswith("Cannot"):
        return number, "a name or a table comes twice; delete one of them"
    return number, f"not valid TOML ({said[:200]}); correct it"


def _name(line: str) -> str:
    """The name in a line such as `Fenroe Tea = []` or `[companies]`, which has no quotes; "" if
    there is none."""
    found = re.match(r"\s*\[*\s*([^\"'=\[\]#]+?)\s*(?:=|\]|$)", line)
    return found[1] if found else ""
