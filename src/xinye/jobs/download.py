"""Fetch a model from the hub into the hub's own cache. Nothing else in the package asks the hub for
a model.

Where from, where to and as whom is said by the hub's usual variables: HF_ENDPOINT, HF_HOME,
HF_TOKEN, HF_HUB_OFFLINE.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from xinye.checkpoints import adapters
from xinye.checkpoints.bases import CONFIG
from xinye.checkpoints.families import from_config_json
from xinye.checkpoints.hub import is_hub_name
from xinye.checkpoints.huggingface import index_files
from xinye.data.files import read_json
from xinye.errors import XinyeError
from xinye.observer import Observer

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
BESIDE = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


@dataclass(frozen=True)
class Downloaded:
    """A model on this machine: its name, the folder that holds it, and what it takes there."""

    model: str
    folder: str
    files: int
    bytes: int


def download(name: str, observer: Observer) -> Downloaded:
    """Fetch what `load` reads of a model: weights as safetensors, JSON, the tokenizer; never what
    is pickled.

    Its config comes first, so that an architecture that is not known here costs nothing. Files that
    are there already stay, and what was cut short goes on. Raises `XinyeError` for whatever a
    person can put right.
    """
    if not is_hub_name(name):
        raise XinyeError(f"{name!r} is not a name on the hub, such as owner/model")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every attempt
    try:
        files = _fetch(name, observer)
    except XinyeError:
        raise
    # those of the client and of what it uses; they have no base of their own
    except Exception as error:
        raise _refusal(name, error) from error
    size = sum(file.stat().st_size for file in files)
    return Downloaded(name, str(files[0].parent), len(files), size)


def _fetch(name: str, observer: Observer) -> list[Path]:
    """Where the files lie then, the config first; of an adapter its own files, without its base."""
    from huggingface_hub import HfApi, hf_hub_download

    observer.stage(f"looking up {name}")
    there = {file.rfilename for file in HfApi().model_info(name).siblings or ()}
    adapter = CONFIG in there and not there & {WEIGHTS, INDEX}
    first, only = "config.json", WEIGHTS
    if adapter:
        first, only = CONFIG, adapters.WEIGHTS
    if first not in there:
        raise XinyeError(f"{name}: this is not a model that Xinye reads (no config.json)")
    config = Path(hf_hub_download(name, first))
    check = adapters.from_config if adapter else from_config_json
    check(read_json(config), f"{name}: {first}")
    weights = [only]
    if only not in there and INDEX in there:
        weights = [INDEX, *index_files(Path(hf_hub_download(name, INDEX)))]
    elif only not in there:
        raise XinyeError(f"{name}: it has no {only}; Xinye does not download pickled weights")
    beside = ("config.json", *BESIDE) if adapter else BESIDE
    wanted = [*(file for file in beside if file in there), *weights]
    files = [config]
    for number, file in enumerate(wanted, start=2):
        observer.stage(f"downloading {file} ({number} of {len(wanted) + 1})")
        files.append(Path(hf_hub_download(name, file)))
    return files


def _refusal(name: str, error: Exception) -> XinyeError:
    """What a person can do about an error of the hub's client."""
    from huggingface_hub import errors

    known = {  # a gated repository is also one that is not found
        errors.GatedRepoError: "accept its terms on its page on the hub, and set HF_TOKEN to "
        "your token",
        errors.RepositoryNotFoundError: "the hub has no such model, or it is private and needs "
        "HF_TOKEN",
        errors.HFValidationError: "not a name on the hub, such as owner/model",
        errors.OfflineModeIsEnabled: "HF_HUB_OFFLINE is set, so nothing can be downloaded",
    }
    if problem := next((known[kind] for kind in known if isinstance(error, kind)), ""):
        return XinyeError(f"{name}: {problem}")
    line = next(iter(str(error).splitlines()), type(error).__name__)[:200]
    problem = f"{name}: the download failed ({line})"
    kept = "finished files are kept, and the same command continues"
    if not isinstance(error, errors.EntryNotFoundError):
        problem = f"{problem}; {kept}"
    return XinyeError(problem, exit_code=1)
