"""Files of an application that a person edits: TOML with comments in both languages. One of them,
`models.toml`, names the model of each role."""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from xinye.apps.toml_errors import toml_problem
from xinye.checkpoints.folders import fingerprint
from xinye.data.files import read_text
from xinye.errors import XinyeError, did_you_mean, reason_of, validated
from xinye.retrieval.format import Format
from xinye.runs.words import Both

MODELS = "models.toml"
LARGEST = 1 << 20  # bytes of a file that a person edits
TITLE = Both(
    "The model of each role: the folder of its run, and the SHA-256 of its files.",
    "每个角色所用的模型：训练目录，以及其中文件的 SHA-256。",
)
MISSING = Both("there is no model, so this step is skipped", "没有模型，跳过这一步")


Settings = TypeVar("Settings", bound=BaseModel)


class Role(BaseModel):
    """A model for a role: the folder of its run, relative to the application's folder or absolute,
    and the SHA-256 of its files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


def write_models(path: Path, models: Mapping[str, Role], roles: Mapping[str, Both]) -> None:
    """Write the model of each role; `roles` says what each does. Roles without a model are
    comments."""
    lines = [*comment(TITLE), ""]
    for name, what in roles.items():
        role = models.get(name)
        lines += comment(Both(f"{name}: {what.en}", f"{name}：{what.zh}"))
        if role:
            lines += [f"[{name}]", setting("path", role.path), setting("sha256", role.sha256)]
        else:
            lines += comment(MISSING)
        lines.append("")
    path.write_text("\n".join(lines), "utf-8", "backslashreplace")


def read_models(path: Path, roles: Mapping[str, Both], again: str) -> dict[str, Role]:
    """The model of each role in a file. Raises `XinyeError` for an unknown role, and for a model
    that is missing or has changed. `again` says what to do about a file that is missing."""
    models = {}
    for name, values in read_toml(path, again).items():
        if name not in roles:
            raise XinyeError(
                f"{path}: unknown role {name!r}; the roles are {', '.join(roles)}"
                f"{did_you_mean(name, roles)}"
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


def named_runs(given: Iterable[str], roles: Mapping[str, Both]) -> dict[str, Path]:
    """The folder of the run for each role, of texts such as "mood=runs/mood". Raises `XinyeError`
    for an unknown role."""
    found = {}
    for each in given:
        name, _, run = each.partition("=")
        if name not in roles or not run:
            raise XinyeError(
                f"--role {each}: write ROLE=RUN, with one of the roles {', '.join(roles)}"
                f"{did_you_mean(name, roles)}"
            )
        found[name] = Path(run).resolve()
    return found


def named_role(name: str, run: Path) -> Role:
    """A run that a person named for a role. Raises `XinyeError` if it is none."""
    if not run.is_dir():
        raise XinyeError(f"--role {name}={run}: there is no such folder")
    return Role(path=str(run), sha256=model_hash(run))


def model_hash(folder: Path) -> str:
    """The SHA-256 of a model: of the names and hashes of its files. What lies in subfolders, such
    as reports, does not count."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*")):
        if file.suffix in (".safetensors", ".json", ".gguf") and file.is_file():
            digest.update(f"{file.name}\n{fingerprint(file)['sha256']}\n".encode())
    return digest.hexdigest()


def read_toml(path: Path, again: str) -> dict[str, Any]:
    """The values in a file. Raises `XinyeError` with what is wrong in it."""
    text = ""
    try:
        text = read_text(path, LARGEST)
        return tomllib.loads(text)
    except FileNotFoundError:
        raise XinyeError(f"{path}: there is no such file; {again}") from None
    except OSError as error:
        raise XinyeError(f"{path}: cannot be read ({error.strerror})") from None
    except tomllib.TOMLDecodeError as error:
        number, problem = toml_problem(text, error)
        place = f"{path}, line {number}" if number else str(path)
        raise XinyeError(f"{place}: {problem}") from None
    except (ValueError, RecursionError) as error:  # also bytes that are not UTF-8
        reason = reason_of(error)
        raise XinyeError(f"{path}: not valid TOML ({reason}); correct it") from None


def read_as(path: Path, holds: type[Settings], form: Format) -> Settings:
    """The settings in a file. Raises `XinyeError` that names the line or the key that is wrong."""
    values = read_toml(path, form.again)
    form.check(path, values)
    return validated(holds, values, str(path))


def commented(values: Mapping[str, Any], comments: Mapping[str, Both]) -> list[str]:
    """The lines of settings, each below what it means, if a comment says that."""
    lines = []
    for name, value in values.items():
        if name in comments:
            lines += ["", *comment(comments[name])]
        lines.append(setting(name, value))
    return lines


def comment(text: Both) -> list[str]:
    """A comment in both languages."""
    return [f"# {text.en}", f"# {text.zh}"]


def setting(name: str, value: Any) -> str:
    """A setting as TOML writes it, which for texts, numbers and lists is as JSON does."""
    written = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"{name} = {written}"
