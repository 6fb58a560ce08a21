"""Reads one row of a file as a conversation: a list of messages, a question and its answer in
separate columns, or a preference, of which the chosen answer is used."""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from xinye.data.columns import as_text, find_column
from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.data.tool_calls import calls_in, id_in, tools_in, with_tools
from xinye.data.tool_results import in_order_of_calls, unreadable_calls
from xinye.errors import XinyeError
from xinye.generation.chat import Message
from xinye.tasks.chat_columns import (
    CONTENT_NAMES,
    CONTEXTS,
    EARLIER,
    LISTS,
    PAIRS,
    ROLE_NAMES,
    SYSTEMS,
    by_words,
    rivals,
    which_columns,
)
from xinye.tasks.conversation_exports import EVIDENCE, exported
from xinye.tasks.records import expected, note_missing, note_unread, text_in
from xinye.tasks.roles import CALLS, joined, messages_in, preference, roles_of
from xinye.tasks.unsaid import NO_MEDIA, text_of_part
from xinye.tasks.writing_records import UNNAMED, Named

TEXTS = ("data", "content")  # fields that may hold turns as a list of texts
REJECTED = ("rejected", "rejected_response", "response_rejected", "rejected_messages")
WEIGHTS = ("weight", "train", "loss")  # fields that say whether the model trains on an answer
UNWANTED = ("label", "kto_tag")  # these are false if the answer is a bad example
MEDIA = ("images", "image", "videos", "video", "audios", "audio")
TOTALS = ("合计", "总计", "小计", "平均", "total", "Total")  # in the first cell of a row of totals
NO_ANSWERS = ("—", "——", "–", "-", "--", "无", "/")  # what people write if there is no answer
EXPECTED = (
    'messages ({"messages": [{"role": "user", "content": …}, …]}), ShareGPT ({"conversations": '
    '[{"from": "human", "value": …}, …]}), Alpaca ({"instruction": …, "input": …, "output": …}), '
    'or a prompt and its response ({"prompt": …, "response": …})'
)
KINDS = ("ShareGPT", "OpenAI messages")
IN_TURN = "messages without a speaker are read as the user's and the assistant's in turn"


class Reader:
    """Reads the row at `place` as a conversation. `fields` lists the fields that were used."""

    def __init__(self, place: str, notes: Notes, named: Named = UNNAMED) -> None:
        self.place, self.notes, self.named = place, notes, named
        self.fields: list[str] = []

    def read(self, row: Any) -> tuple[list[Message], str] | None:
        """The messages and the format's name; None if the row is left out. Raises `XinyeError`."""
        if isinstance(row, list):
            messages = in_order_of_calls(self.messages(row, self.place), self.place)
            return messages, f"lists, {_kind(row)}"
        if not isinstance(row, dict):
            raise expected(self.place, EXPECTED, row)
        self.named.check(row, self.place)
        first = str(next(iter(row.values()), "")).strip()
        if first in TOTALS:
            self.notes.add(
                self.place, f"the first cell is {first!r}: delete the row if it is a total"
            )
        for name in MEDIA:
            if row.get(name):
                raise XinyeError(f"{self.place}, field {name!r}: {NO_MEDIA}")
        for name in UNWANTED:
            if _is_false(row.get(name), row):
                self.notes.add(self.place, f"{name!r} is false: the bad answer is left out")
                return None
        messages, kind = self.formatted(row)
        messages = in_order_of_calls(messages, self.place)
        system = self.system(row)
        if system and messages[0]["role"] == "system":
            messages[0] = {"role": "system", "content": f"{messages[0]['content']}\n\n{system}"}
        elif system:
            messages.insert(0, {"role": "system", "content": system})
        if tools := self.tools(row):
            messages = with_tools(messages, tools)
        note_unread(row, self.fields, self.place, self.notes)
        return messages, kind

    def formatted(self, row: Row) -> tuple[list[Message], str]:
        """The messages in any supported format, and the format's name."""
        field = find_column((name for name in row if isinstance(row[name], list)), LISTS)
        if field and not self.named.columns:
            return self.listed(row, field)
        if found := exported(row, self.place, self.notes):
            self.fields = [name for name in row if name not in EVIDENCE]
            said, kind = found
            messages = self.messages(said, self.place)
            return joined(messages, self.place, self.notes), kind
        for questions, answers in PAIRS:
            question, answer = self.named.find(row, questions, answers)
            if question and answer:
                if problem := rivals(row, (question, answer), self.named):
                    raise XinyeError(f"{self.place}: {problem}")
                return self.paired(row, question, answer)
        field = find_column((name for name in row if _may_be_said(row[name])), LISTS)
        field = field or find_column((name for name in row if _are_texts(row[name])), TEXTS)
        if field:
            return self.listed(row, field)
        chosen = find_column(row, ("chosen",))
        if chosen:
            self.fields = [chosen, *REJECTED]
            return self.said(row, chosen), "preferences"
        text = find_column(row, ("text", "文本"))
        if text and isinstance(row[text], str):
            spoken = self.spoken(row[text], self.place)
            if spoken:
                self.fields = [text]
                return self.messages(spoken, self.place), f"speakers in {text!r}"
        question, answer = by_words(row, self.named)
        if question and answer:
            read = f"{question!r} is read as the question and {answer!r} as the answer"
            self.notes.add(self.place, f"{read}, by the words in their names")
            return self.paired(row, question, answer)
        if found := self.spoken_column(row):
            return found
        if problem := which_columns(row):
            raise XinyeError(f"{self.place}: {problem}")
        found_fields = ", ".join(map(str, row))
        raise XinyeError(f"{self.place}: expected {EXPECTED}; found the fields {found_fields}")

    # -- formats -----------------------------------------------------------------------------------

    def listed(self, row: Row, field: str) -> tuple[list[Message], str]:
        """The messages in a field that holds a list, and the format's name."""
        self.fields = [field, *REJECTED]
        messages = self.said(row, field)
        kind = _kind(row[field])
        if kind not in KINDS:
            kind = f"{'turns' if kind == 'turns' else 'messages'} in the field {field!r}"
        if "chosen" not in row or messages[-1]["role"] == "assistant":
            if row.get("chosen") == row[field]:
                self.fields.append("chosen")
            return messages, kind
        self.fields.append("chosen")
        return [*messages, *self.said(row, "chosen")], f"{kind} and 'chosen'"

    def paired(self, row: Row, question: str, answer: str) -> tuple[list[Message], str]:
        """A question and its answer in separate columns, with earlier turns and context."""
        asked, replied = self.conversation(row, question), self.conversation(row, answer)
        earlier = [name for name in EARLIER if row.get(name)]
        messages = [turn for name in earlier for turn in self.earlier(row, name)]
        self.fields = [answer, *REJECTED, *EARLIER]
        context = None
        if replied and replied[0]["role"] != "assistant":  # it holds the question
            contents = {message["content"].strip() for message in replied}
            if asked or str(row[question]).strip() in contents:
                self.fields.append(question)
            asked = []
        elif asked:
            self.fields.append(question)
        else:
            context = find_column((name for name in row if row[name]), CONTEXTS)
            more = find_column((name for name in row if name != answer), ("input",))
            used = [name for name in dict.fromkeys((context, question, more)) if name]
            self.fields += used
            parts = [self.text(row, name) for name in used if row.get(name)]
            text = "\n".join(part for part in parts if part.strip())
            if not text.strip() and row[answer]:
                raise XinyeError(
                    f"{self.place}, field {question!r}: the question is empty, but there is an "
                    "answer; fill it in or delete the record"
                )
            asked = [{"role": "user", "content": text}]
        if replied is None:
            text = text_in(row, answer, self.place).strip()
            replied = [{"role": "assistant", "content": text}]
        messages += [*asked, *replied]
        for message in messages:
            note_missing("text", message["content"], self.place, self.notes)
            if message["role"] == "assistant" and message["content"].strip() in NO_ANSWERS:
                what = (
                    f"the answer is {message['content'].strip()!r}, which looks like a "
                    "missing answer"
                )
                self.notes.add(self.place, what)
        kind = "Alpaca" if question == "instruction" else f"{question!r} and {answer!r}"
        added = [name for name in (context, *earlier) if name]
        return messages, kind + "".join(f" with {name!r}" for name in added)

    def conversation(self, row: Row, name: str) -> list[Message] | None:
        """The messages in a column of preferences, or None if it holds a single text."""
        value = row[name]
        if isinstance(value, str):
            found = preference(value)
            if not found:
                return None
            if not found[-1]["content"] and name != "chosen":  # "… Assistant:" asks for the answer
                found = found[:-1]
            return self.messages(found, f"{self.place}, field {name!r}")
        rows = value if isinstance(value, list) else [value]
        return self.said(row, name) if all(isinstance(each, dict) for each in rows) else None

    def said(self, row: Row, name: str) -> list[Message]:
        """The messages in a field that holds a list, a single message or a text."""
        value, place = row[name], f"{self.place}, field {name!r}"
        if isinstance(value, str) and value.lstrip().startswith("["):  # in a table
            with suppress(ValueError, RecursionError):
                value = json.loads(value)
        if isinstance(value, str):
            found = (
                None
                if name == "chosen"
                else messages_in(value, place, self.notes, self.named.assistants)
            )
            value = found or preference(value) or value
        if name == "chosen" and not isinstance(value, dict | list):
            value = {"role": "assistant", "content": value}
        if name == "chosen" and isinstance(value, dict):
            value = [value]
        return self.messages(value, place)

    def spoken(self, text: str, place: str) -> list[Row] | None:
        return messages_in(text, place, self.notes, self.named.assistants)

    def spoken_column(self, row: Row) -> tuple[list[Message], str] | None:
        """The messages in the only column whose text is lines with speakers, or None."""
        texts = {name: value for name, value in row.items() if isinstance(value, str)}
        found = {name: self.spoken(text, self.place) for name, text in texts.items()}
        columns = [name for name, messages in found.items() if messages]
        if len(columns) != 1 or self.named.columns:
            return None
        self.fields = columns
        return self.messages(found[columns[0]], self.place), f"speakers in {columns[0]!r}"

    def text(self, row: Row, name: str) -> str:
        """The text in a field; a context may also be a list of passages."""
        passages = as_text(row[name]) if name.strip().lower() in CONTEXTS else None
        return passages or text_in(row, name, self.place)

    def earlier(self, row: Row, name: str) -> list[Message]:
        """The turns before a question, from messages or from pairs of question and answer."""
        turns = row[name]
        if isinstance(turns, str):  # in a table
            with suppress(ValueError, RecursionError):
                turns = json.loads(turns)
        if turns and isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
            return self.messages(turns, f"{self.place}, field {name!r}")
        pairs = turns if isinstance(turns, list) else [None]
        messages: list[Message] = []
        for number, pair in enumerate(pairs, start=1):
            here = f"{self.place}, field {name!r}, turn {number}"
            if not isinstance(pair, list) or [type(text) for text in pair] != [str, str]:
                raise expected(here, "a question and its answer", pair or turns)
            messages.append({"role": "user", "content": pair[0]})
            messages.append({"role": "assistant", "content": pair[1].strip()})
        return messages

    def system(self, row: Row) -> str:
        """The text of the system message in a field of its own."""
        name = find_column((name for name in row if row[name]), SYSTEMS)
        if not name:
            return ""
        self.fields.append(name)
        return text_in(row, name, self.place)

    def tools(self, row: Row) -> list[Row]:
        """The tools that the model may call."""
        field = find_column(row, ("tools", "functions")) or "tools"
        tools = tools_in(row.get(field))
        if row.get(field) and not tools:
            self.notes.add(self.place, f"{field!r} is not a list of functions: not read")
        self.fields.append(field)
        return tools

    # -- messages ----------------------------------------------------------------------------------

    def messages(self, rows: Any, place: str) -> list[Message]:
        """The messages in a list of messages, pairs, or texts in turn."""
        if isinstance(rows, str):
            what = "a list of messages, or lines that begin with a speaker (see --assistant-name)"
            raise expected(place, what, rows)
        if not isinstance(rows, list) or not rows:
            raise expected(place, "a list of messages", rows)
        turns = self.turns(rows, place)
        columns = [find_column(turn, ROLE_NAMES) for turn in turns]
        words = [str(turn.get(name or "role")) for turn, name in zip(turns, columns, strict=True)]
        roles = roles_of(words, place, self.place, self.notes, self.named.assistants)
        return [
            self.message(turn, role, place, number)
            for number, (turn, role) in enumerate(zip(turns, roles, strict=True), start=1)
        ]

    def turns(self, rows: Sequence[Any], place: str) -> list[Row]:
        """The messages of a list as objects with a role."""
        if len(rows) > 1 and all(isinstance(row, str) for row in rows):
            self.notes.add(self.place, IN_TURN)
            return _in_turn({"content": row} for row in rows)
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, dict):
                raise expected(f"{place}, message {number}", "a role and a content", row)
        if any(find_column(row, ROLE_NAMES) for row in rows):
            return list(rows)
        if len(rows) > 1 and all(find_column(row, CONTENT_NAMES) for row in rows):
            self.notes.add(self.place, IN_TURN)
            return _in_turn(rows)
        pairs = [pair for row in rows if (pair := self.pair(row))]
        return [turn for pair in pairs for turn in pair] if len(pairs) == len(rows) else list(rows)

    def pair(self, row: Row) -> list[Row] | None:
        """The question and answer in one object as two messages, or None."""
        for questions, answers in PAIRS:
            question, answer = UNNAMED.find(row, questions, answers)
            if question and answer:
                system = find_column((name for name in row if row[name]), SYSTEMS)
                read = (question, answer, system or question)
                note_unread(row, read, self.place, self.notes)
                turns = _in_turn({"content": row[name]} for name in (question, answer))
                return [{"role": "system", "content": row[system]}, *turns] if system else turns
        return None

    def message(self, row: Row, role: str, place: str, number: int) -> Message:
        """One message with its calls. Raises `XinyeError` for content or calls it cannot read."""
        here = f"{place}, message {number}"
        name = find_column(row, CONTENT_NAMES) or "content"
        speaker = find_column(row, ROLE_NAMES)
        content = row.get(name)
        if isinstance(content, list):
            content = "".join(text_of_part(part, here) for part in content)
        calls = [call for field in CALLS for call in calls_in(row.get(field))]
        if role == "assistant" and not calls and any(row.get(field) for field in CALLS):
            raise unreadable_calls(place, number)
        word = str(row.get(speaker or "role")).strip().lower()
        if not calls and word in CALLS:
            calls = calls_in(content)
            if calls:
                content = ""
            else:
                what = f"messages of {word!r} are learned as answers, unchanged"
                self.notes.add(self.place, what)
        if role != "assistant":
            calls = []  # a note says that they are not read
        if calls and content is None:
            content = ""
        text = text_in({name: content}, name, here)
        weight = find_column(row, WEIGHTS)
        read = [name, speaker or "role", *WEIGHTS, *(CALLS if calls else ()), "tool_call_id"]
        note_unread(row, read, self.place, self.notes)
        if weight and row[weight] is not None and row[weight] not in (0, 1):
            raise XinyeError(
                f"{here}, field {weight!r}: expected 0 (not trained) or 1, found {row[weight]!r}"
            )
        message: Message = {"role": role, "content": text.strip() if role == "assistant" else text}
        if calls:
            message["tool_calls"] = calls
        if role == "tool" and (identity := id_in(row.get("tool_call_id"))):
            message["tool_call_id"] = identity
        if role == "assistant" and weight and row[weight] == 0:
            self.notes.add(self.place, f"an answer with {weight!r} 0 is read but not trained")
            message["weight"] = "0"
        return message


def _is_false(value: Any, row: Row) -> bool:
    """True for the mark of a bad answer. 0 means this only next to a prompt and a completion."""
    text = str(value).strip().lower()
    return text == "false" or (text in ("0", "0.0") and {"prompt", "completion"} <= row.keys())


def _in_turn(rows: Iterable[Row]) -> list[Row]:
    """The messages with the roles of user and assistant in turn."""
    return [{"role": ("user", "assistant")[at % 2], **row} for at, row in enumerate(rows)]


def _may_be_said(value: Any) -> bool:
    """True if the value can be a conversation, and not its id or number of turns."""
    return not isinstance(value, int | float)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _kind(rows: Any) -> str:
    """The name of the format of a list of messages."""
    if not isinstance(rows, list):
        return "messages"
    if all(isinstance(each, dict) and find_column(each, ROLE_NAMES) for each in rows):
        return "ShareGPT" if any("from" in each for each in rows) else "OpenAI messages"
    return "turns"
