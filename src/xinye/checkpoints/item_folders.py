"""Reads and writes the folder of an `ItemGPT`.

The folder is that of an ordinary language model whose words are the ids of items, so that other
tools load it as it is. They do not know the catalogue, in `items/`, and the parts of which the rows
of items are composed, in `items.safetensors`. A folder may come from anywhere: sizes, types and
numbers are checked before they are used.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
from safetensors import SafetensorError, safe_open
from tokenizers import models, pre_tokenizers
from torch import Tensor

from xinye.checkpoints.families import to_config_json
from xinye.checkpoints.folders import ITEMS, ROWS
from xinye.checkpoints.huggingface import load_weights, write_tensors
from xinye.checkpoints.layout import check_finite, check_shapes, to_tensors
from xinye.data.files import (
    check_regular,
    read_json,
    read_text,
    write_json,
    write_json_lines,
    written_beside,
)
from xinye.errors import XinyeError
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.items import ItemGPT
from xinye.ranking.items import Item

CATALOGUE = "catalogue.jsonl"
LARGEST_CATALOGUE = 2 * 10**9  # bytes
SEPARATORS = (" ", "\n", "\t", "\x1f")  # between ids: the first that is in none of them
OWN_ROWS = "gpt.model.embed_tokens.weight"


@dataclass(frozen=True)
class ItemFolder:
    """What a folder holds: the network, and the catalogue, whose first items are those that the
    network learned, in the order of its rows."""

    network: ItemGPT
    catalogue: tuple[Item, ...]


@dataclass(frozen=True)
class ItemFiles:
    """The files of a network in a checkpoint. `ids` are those of the learned items."""

    network: ItemGPT
    ids: Sequence[str]

    def write(self, folder: Path) -> None:
        write_network(folder, self.network, self.ids)

    def read(self, folder: Path) -> None:
        gpt = load_weights(folder)
        assert isinstance(gpt, GPT)
        parts = read_parts(folder / ROWS, gpt.config)
        gpt.model.embed_tokens.weight = torch.nn.Parameter(parts[OWN_ROWS])
        gpt.tie()
        self.network.gpt.load_state_dict(gpt.state_dict())
        self.network.put_text_parts(parts)

    def saved_bytes(self) -> int:
        weights = sum(weight.nbytes for weight in self.network.parameters())
        return weights + self.network.gpt.model.embed_tokens.weight.nbytes


def write(folder: Path, network: ItemGPT, catalogue: Sequence[Item]) -> None:
    """Write the folder of a network, with its catalogue."""
    write_catalogue(folder, catalogue)
    ids = [item.id for item in catalogue[: network.config.vocab_size]]
    write_network(folder, network, ids)


def write_catalogue(folder: Path, catalogue: Sequence[Item]) -> None:
    """Write the items, those that the network learned first."""
    (folder / ITEMS).mkdir(parents=True, exist_ok=True)
    lines = ({**vars(item), "tags": list(item.tags)} for item in catalogue)
    write_json_lines(folder / ITEMS / CATALOGUE, lines)


def write_network(folder: Path, network: ItemGPT, ids: Sequence[str]) -> None:
    """Write a network and its tokenizer, the weights last."""
    folder.mkdir(parents=True, exist_ok=True)
    with written_beside(folder / "tokenizer.json") as beside:
        beside.write_text(item_tokenizer(ids).to_str(pretty=True), "utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    write_json(folder / "tokenizer_config.json", settings)
    write_json(folder / "config.json", to_config_json(network.config))
    own = network.gpt.model.embed_tokens.weight
    parts = {OWN_ROWS: own, **network.text_parts()}
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in parts.items()}
    write_tensors(folder / ROWS, on_cpu)
    rows = network.complete_rows().detach().cpu().contiguous()
    tensors = to_tensors(network.gpt) | {"model.embed_tokens.weight": rows}
    write_tensors(folder / "model.safetensors", tensors)


def item_tokenizer(ids: Sequence[str]) -> tokenizers.Tokenizer:
    """A tokenizer whose words are these ids, in this order. Between them stands a space, or if an
    id has one, a line end. Raises `XinyeError` for ids that cannot be told apart."""
    vocabulary = {each: number for number, each in enumerate(ids)}
    separators = (mark for mark in SEPARATORS if not any(mark in each for each in ids))
    separator = next(separators, None)
    if len(vocabulary) < len(ids) or "" in vocabulary or separator is None:
        raise XinyeError(
            "the ids of items must differ, must not be empty, and must not contain spaces, tabs "
            "and line ends all together; rename the items"
        )
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=""))
    backend.pre_tokenizer = pre_tokenizers.Split(separator, "removed")
    return backend


def read(folder: Path, features: Tensor | None = None) -> ItemFolder:
    """The network and catalogue of a folder, on the CPU. Raises `XinyeError` if it is damaged.

    Without the `features` (n, F) of the learned items' texts, the rows are complete ones, which is
    enough to recommend. With them, the network can be trained further.
    """
    catalogue = read_catalogue(folder / ITEMS / CATALOGUE)
    gpt = load_weights(folder)
    if not isinstance(gpt, GPT):
        raise XinyeError(f"{folder}: not the folder of a recommender; it has no plain GPT")
    check_ids(folder, catalogue, gpt.config.vocab_size)
    path = folder / ROWS
    parts = read_parts(path, gpt.config)
    width = parts["embed_text.weight"].shape[1]
    if features is not None:
        if tuple(features.shape) != (gpt.config.vocab_size, width):
            raise XinyeError(
                f"{path}: the items have {features.shape[1]} features of their texts, but the "
                f"network was trained with {width}; the texts have changed since"
            )
        gpt.model.embed_tokens.weight = torch.nn.Parameter(parts[OWN_ROWS])
        gpt.tie()
    network = ItemGPT(gpt, torch.zeros(0, width) if features is None else features)
    network.put_text_parts(parts)
    return ItemFolder(network, catalogue)


def read_parts(path: Path, config: GPTConfig) -> dict[str, Tensor]:
    """The tensors of which rows are composed, checked to fit the network."""
    check_regular(path)
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            width = config.hidden_size
            features = (*shapes.get("embed_text.weight", ()), 1)[1]
            wanted = {
                OWN_ROWS: (config.vocab_size, width),
                "embed_text.weight": (width, features),
                "embed_new": (width,),
            }
            check_shapes(shapes, wanted, f"{path}: ")
            if odd := [name for name, part in slices.items() if part.get_dtype() != "F32"]:
                raise XinyeError(f"{path}: tensor {odd[0]} is not in float32; restore the file")
            tensors = {name: part[:] for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise XinyeError(f"{path}: damaged or cut short ({error})") from None
    for name, tensor in tensors.items():
        check_finite(tensor, name, path)
    return tensors


def read_catalogue(path: Path) -> tuple[Item, ...]:
    """The items in a catalogue. Raises `XinyeError` if it is damaged."""
    try:
        lines = read_text(path, LARGEST_CATALOGUE).split("\n")
    except FileNotFoundError:
        raise XinyeError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise XinyeError(f"{path}: cannot be read ({error})") from None
    items = []
    for number, line in enumerate(lines, start=1):
        if line:
            try:
                items.append(_item(json.loads(line)))
            except (ValueError, RecursionError, KeyError, TypeError):
                raise XinyeError(
                    f"{path}, line {number}: this is not an item; restore the file"
                ) from None
    if len({item.id for item in items}) < len(items):
        raise XinyeError(f"{path}: two items have the same id; restore the file")
    return tuple(items)


def _item(row: Any) -> Item:
    """Raises `ValueError`, `KeyError` or `TypeError` if this is not a line of a catalogue."""
    item = Item(row["id"], row["title"], row["text"], tuple(row["tags"]))
    texts = (item.id, item.title, item.text, *item.tags)
    plain = all(isinstance(text, str) for text in texts)
    if not plain or not item.id or not isinstance(row["tags"], list):
        raise ValueError
    return item


def check_ids(folder: Path, catalogue: Sequence[Item], count: int) -> None:
    """Raise `XinyeError` unless the first `count` items of the catalogue are the words of the
    tokenizer, in the same order."""
    model = read_json(folder / "tokenizer.json").get("model")
    words = model.get("vocab") if isinstance(model, dict) else None
    learned = {item.id: number for number, item in enumerate(catalogue[:count])}
    if words != learned or len(learned) != count:
        raise XinyeError(
            f"{folder / ITEMS / CATALOGUE}: its first {count:,} items are not those of "
            "tokenizer.json; restore both files"
        )
