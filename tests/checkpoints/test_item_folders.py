import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from xinye.checkpoints import item_folders
from xinye.checkpoints.folders import is_item_folder
from xinye.checkpoints.huggingface import load_weights
from xinye.errors import XinyeError
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.items import ItemGPT
from xinye.ranking.items import Item

CATALOGUE = [
    Item("318", "肖申克的救赎", "一部电影", ("剧情",)),
    Item("茶 1", "红茶"),
    Item("<eos>", ""),
    Item("0", "Zero", tags=("a", "b")),
    Item("late", "A new item"),
]
HISTORIES = [np.array([0, 1, 3]), np.array([2]), np.array([], np.int32)]


@pytest.fixture
def network() -> ItemGPT:
    made = ItemGPT(GPT(GPTConfig("modern", 4, 32, 1, 2, 2, 16, 64, 8)), torch.eye(4))
    made.initialize(0)
    with torch.no_grad():
        for weight in made.parameters():
            weight += 0.1 * torch.randn(weight.shape)
    return made


@pytest.fixture
def folder(network, tmp_path):
    item_folders.write(tmp_path / "run", network, CATALOGUE)
    return tmp_path / "run"


def test_what_is_read_equals_what_was_written(network, folder):
    found = item_folders.read(folder)
    assert found.catalogue == tuple(CATALOGUE)
    new = torch.randn(2, 4)
    assert found.network.vectors(new).equal(network.vectors(new))
    wanted = network.scores(HISTORIES, network.vectors(new))
    assert found.network.scores(HISTORIES, found.network.vectors(new)) == pytest.approx(wanted)
    again = item_folders.read(folder, torch.eye(4)).network
    for name, weight in network.state_dict().items():
        assert again.state_dict()[name].equal(weight), name
    assert is_item_folder(folder)
    assert not is_item_folder(folder / "items")


def test_it_is_an_ordinary_language_model(network, folder):
    gpt = load_weights(folder)
    logits = gpt(torch.tensor([[0, 1, 3]]))[0, -1].detach().numpy()
    assert logits == pytest.approx(network.scores(HISTORIES)[0], abs=1e-5)


def test_transformers_loads_it(network, folder):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert type(model).__name__ == "Qwen3ForCausalLM"
    tokens = tokenizer("318\n茶 1\n0", return_tensors="pt").input_ids
    assert tokens.tolist() == [[0, 1, 3]]
    logits = model(tokens).logits[0, -1].detach().numpy()
    assert logits == pytest.approx(network.scores(HISTORIES)[0], abs=1e-4)


def test_ids_are_words_between_spaces():
    assert item_folders.item_tokenizer(["b", "红茶"]).encode("红茶 b 红茶").ids == [1, 0, 1]


@pytest.mark.parametrize("ids", [["a", "a"], ["a", ""], ["a b", "c\nd", "e\tf", "g\x1fh"]])
def test_ids_that_cannot_be_told_apart_are_refused(ids):
    with pytest.raises(XinyeError, match="ids of items"):
        item_folders.item_tokenizer(ids)


def change(folder, name: str, value: torch.Tensor | None) -> None:
    path = folder / "items.safetensors"
    tensors = {each: tensor.clone() for each, tensor in load_file(path).items()}
    del tensors[name]
    save_file(tensors if value is None else {**tensors, name: value}, path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("embed_new", None, "lacks tensor embed_new"),
        ("embed_new", torch.zeros(7), "has shape"),
        ("embed_new", torch.full((32,), torch.nan), "NaN or infinity"),
        ("embed_new", torch.zeros(32, dtype=torch.int64), "float32"),
        ("embed_text.weight", torch.zeros(32), "has shape"),
        ("gpt.model.embed_tokens.weight", torch.zeros(5, 32), "has shape"),
    ],
)
def test_damaged_parts_are_refused(folder, name, value, message):
    change(folder, name, value)
    with pytest.raises(XinyeError, match=message):
        item_folders.read(folder)


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{",
        '{"id": 3, "title": "", "text": "", "tags": []}',
        '{"id": "", "title": "", "text": "", "tags": []}',
        '{"id": "7", "title": null, "text": "", "tags": []}',
        '{"id": "7", "title": "", "text": "", "tags": "ab"}',
        '{"id": "7", "title": "", "text": "", "tags": [[1]]}',
    ],
)
def test_damaged_lines_of_the_catalogue_are_refused(folder, line):
    path = folder / "items" / "catalogue.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(XinyeError, match="line 6: this is not an item"):
        item_folders.read(folder)


def test_a_catalogue_in_another_order_is_refused(folder):
    path = folder / "items" / "catalogue.jsonl"
    lines = path.read_text("utf-8").splitlines()
    for changed in (lines[::-1], lines[:2]):
        path.write_text("\n".join(changed) + "\n", "utf-8")
        with pytest.raises(XinyeError, match=r"are not those of tokenizer\.json"):
            item_folders.read(folder)
    path.write_text("\n".join([*lines, lines[0]]), "utf-8")
    with pytest.raises(XinyeError, match="two items have the same id"):
        item_folders.read(folder)


def test_texts_that_have_changed_are_refused(folder):
    with pytest.raises(XinyeError, match="the texts have changed since"):
        item_folders.read(folder, torch.zeros(4, 3))


def test_any_damage_is_one_clear_error(folder):
    generator = random.Random(0)
    for path in sorted(folder.rglob("*.*")):
        data = path.read_bytes()
        for _ in range(6):
            damaged = bytearray(data)
            damaged[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            path.write_bytes(damaged)
            try:
                item_folders.read(folder)
            except XinyeError as error:
                assert "\n" not in str(error)
        path.write_bytes(data)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "qwen3"
