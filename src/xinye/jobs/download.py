"""Downloads a model from the hub into the hub's own cache. No other module downloads models.

The hub's usual variables decide the server, the folder and the account: HF_ENDPOINT, HF_HOME,
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
    """A downloaded model: its name, its folder, and the number and bytes of its files."""

    model: str
    folder: str
    files: int
    bytes: int


def download(name: str, observer: Observer) -> Downloaded:
    """Download the files that `load` needs: safetensors weights, JSON files and the tokenizer, and
    never pickled files.

    The config comes first, so an unknown architecture costs nothing. Existing files are kept, and
    partial downloads continue. Raises `XinyeError` if the name is wrong or the download fails.
    """
    if not is_hub_name(name):
        raise XinyeError(f"{name!r} is not a name on the hub, such as owner/model")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # the client logs every attempt
    try:
        files = _fetch(name, observer)
    except XinyeError:
        raise
    # the errors of the client and its libraries have no common base class
    except Exception as error:
        raise _refusal(name, error) from error
    size = sum(file.stat().st_size for file in files)
    return Downloaded(name, str(files[0].parent), len(files), size)


def _fetch(name: str, observer: Observer) -> list[Path]:
    """The paths of the downloaded files, the config first. For an adapter, its own files without
    the base.
    """
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
    """The error of the hub's client as a message with a remedy."""
    from huggingface_hub import errors

    known = {  # GatedRepoError first, because it is also a RepositoryNotFoundError
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
