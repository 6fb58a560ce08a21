"""The settings of a desk that a person edits, `desk.toml`, and the models of its roles,
`models.toml`."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from xinye.checkpoints.folders import fingerprint
from xinye.data.files import read_text
from xinye.errors import XinyeError, did_you_mean, quoted, validated

KIND, VERSION = "xinye desk", 1
SETTINGS, MODELS = "desk.toml", "models.toml"
LARGEST = 1 << 20  # bytes of a file that a person edits
ROLES = {  # each with what it does
    "intents": "says what a question is about",
    "answer": "quotes the answer from a passage",
    "mood": "notices angry customers",
    "entities": "finds names and addresses, to mask them",
    "chat": "writes answers from passages",
}
AGAIN = "prepare the desk again: xinye support prepare LOGS -o {folder} --overwrite"


class DeskSettings(BaseModel):
    """What a person decides about a desk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = KIND
    version: int = VERSION
    company: str = Field("", description="name of the company, as customers read it")
    bot: str = Field("", description="name of the bot")
    languages: tuple[Literal["zh", "en"], ...] = Field(
        ("zh", "en"), description="languages of the pages, the first is the default"
    )
    precision: float = Field(
        0.95, ge=0.5, le=0.99, description="share of the bot's answers that must be right"
    )
    misses: int = Field(
        2, ge=1, le=10, description="questions without an answer until a person takes over"
    )
    forbidden: tuple[str, ...] = Field(
        (), description="topics that the bot leaves to a person: words of a question"
    )
    person_words: tuple[str, ...] = Field((), description="more words that ask for a person")
    claim_minutes: float = Field(
        10, gt=0, description="minutes until an operator's silence gives a conversation back"
    )
    retention_days: int = Field(180, ge=1, description="days until messages are deleted")


def write_settings(path: Path, settings: DeskSettings) -> None:
    """Write the settings, each below what it means."""
    lines = ["# The settings of this desk. Change them, then start the desk again.", ""]
    values = settings.model_dump(mode="json")
    for name, field in DeskSettings.model_fields.items():
        if field.description:
            lines.append(f"# {field.description}")
        lines.append(f"{name} = {_toml(values[name])}")
        if name != "kind":
            lines.append("")
    path.write_text("\n".join(lines), "utf-8", "backslashreplace")


def read_settings(path: Path) -> DeskSettings:
    """The settings in a file. Raises `XinyeError` that names the line or the key that is wrong."""
    values = _read(path)
    if values.get("kind") != KIND:
        raise XinyeError(
            f"{path}: this is not the settings of a desk (kind is not {KIND!r}); {_again(path)}"
        )
    if values.get("version") != VERSION:
        raise XinyeError(
            f"{path}: the desk has version {values.get('version')!r}, and this Xinye reads version "
            f"{VERSION}; {_again(path)}"
        )
    return validated(DeskSettings, values, str(path))


class Role(BaseModel):
    """A model for a role: the folder of its run, relative to the desk or absolute, and the SHA-256
    of its files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


def write_models(path: Path, models: Mapping[str, Role]) -> None:
    """Write the model of each role. Roles without a model are comments."""
    lines = ["# The model of each role: the folder of its run, and the SHA-256 of its files.", ""]
    for name, what in ROLES.items():
        role = models.get(name)
        lines.append(f"# {what}{'' if role else '; there is no model, so this step is skipped'}")
        if role:
            lines += [f"[{name}]", f"path = {_toml(role.path)}", f"sha256 = {_toml(role.sha256)}"]
        lines.append("")
    path.write_text("\n".join(lines), "utf-8", "backslashreplace")


def read_models(path: Path) -> dict[str, Role]:
    """The model of each role in a file. Raises `XinyeError` for an unknown role, and for a model
    that is missing or has changed."""
    models = {}
    for name, values in _read(path).items():
        if name not in ROLES:
            raise XinyeError(
                f"{path}: unknown role {name!r}; the roles are {', '.join(ROLES)}"
                f"{did_you_mean(name, ROLES)}"
            )
        if not isinstance(values, dict):
            raise XinyeError(f"{path}: {name} is not a table with path and sha256")
        models[name] = validated(Role, values, f"{path}, [{name}]")
    for name, role in models.items():
        folder = path.parent / role.path
        if not folder.is_dir():
            raise XinyeError(
                f"{path}: the model of the role {name!r} is missing: {folder}; train it again, or "
                "delete its lines"
            )
        if model_hash(folder) != role.sha256:
            raise XinyeError(
                f"{path}: the model of the role {name!r} has changed since then: {folder}; "
                f"if that is right, write its new sha256: {model_hash(folder)}"
            )
    return models


def model_hash(folder: Path) -> str:
    """The SHA-256 of a model: of the names and hashes of its files. What lies in subfolders, such
    as reports, does not count."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*")):
        if file.suffix in (".safetensors", ".json", ".gguf") and file.is_file():
            digest.update(f"{file.name}\n{fingerprint(file)['sha256']}\n".encode())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path, LARGEST))
    except FileNotFoundError:
        raise XinyeError(f"{path}: there is no such file; {_again(path)}") from None
    except OSError as error:
        raise XinyeError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # also bytes that are not UTF-8
        reason = " ".join(str(error).split())[:200]
        raise XinyeError(f"{path}: not valid TOML ({reason}); correct it") from None


def _again(path: Path) -> str:
    return AGAIN.replace("{folder}", quoted(path.parent))


def _toml(value: Any) -> str:
    """A value as TOML writes it, which for texts, numbers and lists is as JSON does."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
