"""A knowledge graph: triples (head, relation, tail) from TSV and JSON files, looked up by head and
relation. How a text names an entity is in `entities.py`.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from xinye.data.columns import by_usual_name
from xinye.data.encodings import open_text
from xinye.data.files import find_records
from xinye.data.notes import Notes, place_of, without_unseen
from xinye.data.records import refuse
from xinye.data.sources import read_records
from xinye.data.tables import is_table
from xinye.errors import XinyeError
from xinye.retrieval.entities import LONGEST_NAME, Names

# The names of the three columns or keys of a triple.
HEADS = ("head", "subject", "entity", "头实体", "主语", "主体", "实体")
RELATIONS = ("relation", "predicate", "property", "关系", "谓语", "谓词", "属性")
TAILS = ("tail", "object", "value", "尾实体", "宾语", "客体", "值", "属性值")
# Relations that say what kind of thing an entity is: "this hotel" is the last one of that kind.
KINDS = ("kind", "type", "category", "instance_of", "is_a", "领域", "类型", "类别", "种类")
SUFFIXES = (".tsv", ".csv", ".txt", ".json", ".jsonl", ".ndjson")
FORMS = (
    "write three columns (head, relation, tail), or in JSON [head, relation, tail], an object with "
    "these keys, or [name, {relation: value}]"
)


@dataclass(frozen=True)
class Fact:
    """A triple and the place that it was read from. `line` is a `RecordNumber` if the file has no
    lines of its own. The tail is "" if the file says that there is none, as with an empty list.
    """

    head: str
    relation: str
    tail: str
    file: str
    line: int

    @property
    def place(self) -> str:
        """The place for messages: "city.tsv, line 17"."""
        return place_of(self.file, self.line)


@dataclass
class _Kind:
    """The number of entities of a kind, and how many of them have each relation."""

    entities: int = 0
    relations: Counter[str] = field(default_factory=Counter)


class Graph:
    """The facts of a graph by head and relation.

    >>> graph = Graph.read(["city.tsv"])  # doctest: +SKIP
    >>> [fact.tail for fact in graph.facts("Swan Hotel", "phone")]  # doctest: +SKIP
    ['555-0134']
    """

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.count = 0  # of different triples with a tail
        self._facts: dict[str, dict[str, dict[str, Fact]]] = {}
        self.relations: dict[str, Fact] = {}  # each with the first fact that has it
        for fact in facts:
            there = self._facts.setdefault(fact.head, {}).setdefault(fact.relation, {})
            self.relations.setdefault(fact.relation, fact)
            if fact.tail and fact.tail not in there:
                there[fact.tail] = fact
                self.count += 1

    @classmethod
    def read(cls, files: Sequence[str | Path], notes: Notes | None = None) -> "Graph":
        """The graph of files, folders and globs. Raises `XinyeError` with file and line for what is
        not a triple, and if there is none."""
        notes = notes or Notes()
        paths = [path for name in files for path in find_records(name, SUFFIXES, notes)]
        facts = [fact for path in paths for fact in _facts_of(path, notes)]
        if not any(fact.tail for fact in facts):
            raise XinyeError(f"{', '.join(map(str, files))}: there are no triples; {FORMS}")
        return cls(facts)

    def __contains__(self, entity: str) -> bool:
        return entity in self._facts

    @property
    def entities(self) -> list[str]:
        """What the triples are about: their heads."""
        return [*self._facts]

    @property
    def values(self) -> Iterator[str]:
        """The tails of all triples."""
        for there in self._facts.values():
            for tails in there.values():
                yield from tails

    def facts(self, entity: str, relation: str) -> list[Fact]:
        """The facts of an entity with this relation, in the order of the files."""
        return [*self._facts.get(entity, {}).get(relation, {}).values()]

    def kinds(self, entity: str) -> set[str]:
        """What kinds of thing an entity is, if the graph says so."""
        there = self._facts.get(entity, {})
        return {tail for relation in there if says_kind(relation) for tail in there[relation]}

    def may_have(self, entity: str, relation: str) -> bool:
        """True if the entity has the relation, or if most of its kind have it."""
        if relation in self._facts.get(entity, {}):
            return True
        return any(
            2 * self._of_kind[kind].relations[relation] > self._of_kind[kind].entities
            for kind in self.kinds(entity)
        )

    @cached_property
    def _of_kind(self) -> dict[str, "_Kind"]:
        found: dict[str, _Kind] = defaultdict(_Kind)
        for entity, there in self._facts.items():
            for kind in self.kinds(entity):
                found[kind].entities += 1
                found[kind].relations.update([*there])
        return found

    @property
    def all_kinds(self) -> list[str]:
        """All kinds of entities."""
        return [*self._of_kind]

    @cached_property
    def names(self) -> Names:
        """Finds the entities that a text names."""
        return Names(self.entities)

    def values_named(self, question: str, relation: str) -> list[str]:
        """The tails of a relation, of any entity, that a question names: "Does it have a pool?"
        names one. Tails that are entities do not count, nor does one within a longer one."""
        if relation not in self._names_of_tails:
            tails = dict.fromkeys(
                tail
                for there in self._facts.values()
                for tail in there.get(relation, {})
                if len(tail) <= LONGEST_NAME and re.search(r"[^\W\d_]{2}", tail)
            )
            entities = sum(tail in self._facts for tail in tails)
            # A relation between entities has no values of its own.
            self._names_of_tails[relation] = Names([] if 2 * entities > len(tails) else [*tails])
        names = self._names_of_tails[relation]
        return names.within(question) or names.similar(question)

    @cached_property
    def _names_of_tails(self) -> dict[str, Names]:
        return {}


def says_kind(relation: str) -> bool:
    """True if a relation says what kind of thing an entity is."""
    return relation.lower().replace(" ", "_") in KINDS


def _facts_of(path: Path, notes: Notes) -> Iterator[Fact]:
    """The facts of a file."""
    table = is_table(path, tabbed=True)
    order = [0, 1, 2]
    records = read_records(path, refuse, _no_header(path) if table else (), True, notes)
    for number, (line, record) in enumerate(records):
        try:
            if table:
                cells = [cell or "" for cell in record.values()]
                if number == 0 and (header := _header(cells)):
                    order = header
                    continue
                triples = [_triple(*(cells[at] for at in order))] if len(cells) == 3 else None
            else:
                triples = _of_json(record)
            if triples is None:
                raise ValueError(f"this is not a triple; {FORMS}")
        except ValueError as error:
            raise XinyeError(f"{place_of(path, line)}: {error}") from None
        for triple in triples:
            yield Fact(*triple, str(path), line)


def _no_header(path: Path) -> list[str]:
    """A column to name by its number, so that a table's first row is read as a record, too. It must
    not be the number in one of the row's cells."""
    with open_text(path) as file:
        first = next((line for line in file if line.strip()), "")
    cells = {cell.strip(' "\n') for cell in re.split(r"[\t,;|]", first)}
    return [number for number in ("1", "2", "3") if number not in cells][:1]


def _header(cells: Sequence[str]) -> list[int] | None:
    """The numbers of the columns of head, relation and tail if the cells are their names."""
    names = [cell.strip().lower() for cell in cells]
    found = []
    for usual in (HEADS, RELATIONS, TAILS):
        at = next((names.index(name) for name in usual if name in names), None)
        if at is None:
            return None
        found.append(at)
    return found


Triple = tuple[str, str, str]


def _of_json(record: Any) -> list[Triple] | None:
    """The triples of a JSON record, or None if it has none of the known forms."""
    if isinstance(record, dict):
        columns = by_usual_name(record)
        keys = [
            next((columns[name] for name in usual if name in columns), None)
            for usual in (HEADS, RELATIONS, TAILS)
        ]
        if None in keys:
            return None
        record = [record[key] for key in keys]
    if not isinstance(record, list) or not record or not isinstance(record[0], str):
        return None
    if len(record) == 2 and isinstance(record[1], dict):
        pairs = [*record[1].items()]
    elif len(record) == 3 and isinstance(record[1], str):
        pairs = [(record[1], record[2])]
    else:
        return None
    return [
        _triple(record[0], relation, tail)
        for relation, value in pairs
        for tail in (value if isinstance(value, list) and value else [value])
    ]


def _triple(head: str, relation: str, tail: Any) -> Triple:
    """A triple of clean texts. Raises `ValueError` if head or relation is empty, or if the tail is
    nested."""
    if isinstance(tail, dict) or (isinstance(tail, list) and tail):
        raise ValueError(f"the value of {relation!r} is nested: {json.dumps(tail)[:40]}")
    if isinstance(tail, float) and not isfinite(tail):
        raise ValueError(f"the value of {relation!r} is not a finite number")
    if tail is None or tail == []:
        tail = ""
    text = tail if isinstance(tail, str) else json.dumps(tail)
    head, relation, text = (without_unseen(part) for part in (head, relation, text))
    if not head:
        raise ValueError("the head of the triple is empty")
    if not relation:
        raise ValueError("the relation of the triple is empty")
    for what, name in (("head", head), ("relation", relation)):
        if len(name) > LONGEST_NAME:
            raise ValueError(
                f"the {what} of the triple has {len(name):,} characters; write a name of at most "
                f"{LONGEST_NAME}"
            )
    return head, relation, text
