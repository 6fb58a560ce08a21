"""Reads conversations in the JSON exports of ChatGPT, Intercom and Zendesk."""

import re
from typing import Any

from xinye.data.html import all_text
from xinye.data.notes import Notes
from xinye.data.records import Row

INTERNAL = "internal notes, which the customer does not see, are left out"
FILES = "pictures and other files in messages are not read"
# fields next to the messages that may be part of the question
EVIDENCE = ("subject", "attachments", "files")
_MEDIA = re.compile(r"<(?:img|video|audio|iframe|object|embed)\b", re.IGNORECASE)
ASKING = ("user", "lead", "contact", "end-user", "end_user")  # Intercom's types of authors who ask


def exported(row: Row, place: str, notes: Notes) -> tuple[list[Row], str] | None:
    """The messages of an exported conversation and the name of the program, or None for any other
    row.
    """
    nodes = row.get("mapping")
    if (
        isinstance(nodes, dict)
        and all(isinstance(node, dict) for node in nodes.values())
        and any("message" in node for node in nodes.values())
    ):
        return _chatgpt(nodes, row.get("current_node"), place, notes), "ChatGPT's export"
    parts = _inside(row, "conversation_parts", "conversation_parts")
    if isinstance(parts, list):
        return _intercom([row.get("source"), *parts], place, notes), "Intercom's export"
    comments = row.get("comments")
    has_authors = isinstance(comments, list) and all(
        _inside(each, "author_id") is not None for each in comments
    )
    if has_authors and comments and "requester_id" in row:
        return _zendesk(comments, row["requester_id"], place, notes), "Zendesk's export"
    return None


def _inside(value: Any, *names: str) -> Any:
    """The value in nested objects along these keys, or None if a key is missing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _chatgpt(nodes: Row, last: Any, place: str, notes: Notes) -> list[Row]:
    """The messages on the path to the node that was shown last, in ChatGPT's tree of nodes."""
    ends = [name for name, node in nodes.items() if not _inside(node, "children")]
    if len(ends) > 1:
        notes.add(place, "a conversation has several versions: the one shown last is read")
    name = last if isinstance(last, str) else ends[-1] if ends else None
    found: list[Row] = []
    visited: set[str] = set()
    while isinstance(name, str) and name in nodes and name not in visited:
        visited.add(name)
        message = _inside(nodes[name], "message")
        role = _inside(message, "author", "role")
        parts = _inside(message, "content", "parts")
        hidden = _inside(message, "metadata", "is_visually_hidden_from_conversation")
        if _inside(message, "metadata", "attachments") and not hidden:
            notes.add(place, FILES)
        if role and parts and any(parts) and not hidden:
            found.append({"role": role, "content": parts})
        elif (role in ("assistant", "tool") and not parts) or (role == "user" and not hidden):
            notes.add(place, "messages without text, such as tool calls, are left out")
        name = _inside(nodes[name], "parent")
    return found[::-1]


def _intercom(parts: list[Any], place: str, notes: Notes) -> list[Row]:
    found = []
    for part in parts:
        body = _inside(part, "body")
        if _inside(part, "part_type") == "note":
            notes.add(place, INTERNAL)
            continue
        if _has_files(part, body):
            notes.add(place, FILES)
        if isinstance(body, str) and (text := all_text(body).strip()):
            asks = _inside(part, "author", "type") in ASKING
            found.append({"role": "user" if asks else "assistant", "content": text})
    return found


def _has_files(message: Any, body: Any) -> bool:
    """True if a message has attachments, or media in its text."""
    return bool(_inside(message, "attachments") or _MEDIA.search(str(body)))


def _zendesk(comments: list[Row], requester: Any, place: str, notes: Notes) -> list[Row]:
    found = []
    for comment in comments:
        text = comment.get("plain_body") or comment.get("body")
        if comment.get("public") is False:
            notes.add(place, INTERNAL)
            continue
        if _has_files(comment, comment.get("html_body") or text):
            notes.add(place, FILES)
        if isinstance(text, str) and text.strip():
            asks = comment["author_id"] == requester
            found.append({"role": "user" if asks else "assistant", "content": text.strip()})
    return found
