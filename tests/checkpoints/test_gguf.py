"""GGUF files written here load in transformers and llama.cpp, and theirs here; a damaged one is one
clear line."""

import itertools
import json
import os
import random
import shutil
import struct
import subprocess
from collections import Counter

import gguf
import numpy as np
import pytest
import torch
import transformers

from xinye.checkpoints.gguf import load_gguf, save_gguf
from xinye.checkpoints.gguf_file import read_gguf
from xinye.checkpoints.gguf_tokenizer import from_metadata, to_metadata
from xinye.checkpoints.huggingface import save_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.generation.engine import generate, start
from xinye.generation.sampling import Sampling
from xinye.model.config import GPTConfig, LSTMConfig
from xinye.model.gpt import GPT
from xinye.model.lstm import LSTM
from xinye.model.quantization import QuantizedLinear
from xinye.model.rope import RopeScaling

TOKENIZER = Tokenizer.train(["新叶 new leaf"], kind="bytes")
V = TOKENIZER.vocab_size
LLAMA3 = RopeScaling("llama3", 8.0, 24, low_freq_factor=1.0, high_freq_factor=4.0)
SHAPES = {
    "modern, tied": GPTConfig("modern", V, 64, 2, 4, 2, 128, 96, 40),
    "modern, untied, yarn": GPTConfig(
        "modern", V, 32, 2, 2, 2, 16, 64, 64, False, rope_scaling=RopeScaling("yarn", 4.0, 16)
    ),
    "llama, grouped queries, untied": GPTConfig(
        "llama", V, 64, 2, 4, 2, 16, 96, 40, False, rope_theta=5e4
    ),
    "llama, biases, tied": GPTConfig(
        "llama", V, 64, 2, 4, 1, 16, 64, 40, attention_bias=True, mlp_bias=True
    ),
    "llama, Llama 3's positions": GPTConfig(
        "llama", V, 64, 1, 2, 2, 32, 64, 96, rope_scaling=LLAMA3
    ),
    "qwen2": GPTConfig(
        "llama", V, 64, 2, 4, 2, 16, 96, 40, attention_bias=True, attention_output_bias=False
    ),
    "gpt2, tied": GPTConfig("gpt2", V, 64, 2, 4, 4, 16, 256, 1024, norm_eps=1e-5),
    "gpt2, untied": GPTConfig("gpt2", V, 64, 2, 4, 4, 16, 96, 40, False),
}
# What transformers reads of a GGUF file leaves out biases, other head sizes of Qwen3, and more.
KNOWN_TO_TRANSFORMERS = ("modern, tied", "llama, grouped queries, untied", "qwen2", "gpt2, tied")
TEXTS = [
    "芳林新叶催陈叶，流水前波让后波。", "The quick brown fox doesn't jump.", "def f(x):\n\treturn x ** 2  # 平方\n",
    "🙂👩‍👩‍👧 café naïve ﬁ Ａ１", " leading\r\n\r\n  and trailing  ", "1234567890 3.14 ٣", "<eos> <|im_end|>",
]  # fmt: skip


def random_model(config: GPTConfig) -> GPT:
    torch.manual_seed(0)
    model = GPT(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1 if "norm" in name else 0, 0.3)
        model.lm_head.weight[:5] = 0  # control tokens, which end a text, are never the likeliest
    return model


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).detach().abs().max() / theirs.detach().abs().max())


@pytest.mark.parametrize("name", SHAPES)
def test_a_model_comes_back_as_it_was(name, tmp_path):
    model = random_model(SHAPES[name])
    assert (
        save_gguf(tmp_path / "model.gguf", model, TOKENIZER, metadata={"general.license": "mit"})
        == []
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
    again, tokenizer = load_gguf(tmp_path / "model.gguf")
    assert again.config == model.config
    tokens = torch.randint(0, V, (2, 33))
    assert relative_error(again(tokens), model(tokens)) <= 1e-6
    assert (
        tokenizer.token_bytes == TOKENIZER.token_bytes
        and tokenizer.chat_template == TOKENIZER.chat_template
    )
    for ids in ("prefix", "bos_id", "eos_id", "pad_id", "stop_ids"):
        assert getattr(tokenizer, ids) == getattr(TOKENIZER, ids)
    assert [tokenizer.encode(text) for text in TEXTS] == [TOKENIZER.encode(text) for text in TEXTS]
    assert read_gguf(tmp_path / "model.gguf")[0]["general.license"] == "mit"


@pytest.mark.parametrize("name", KNOWN_TO_TRANSFORMERS)
def test_transformers_computes_the_same_from_our_file(name, tmp_path):
    model = random_model(SHAPES[name])
    save_gguf(tmp_path / "model.gguf", model, TOKENIZER)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="model.gguf", dtype=torch.float32
    )
    tokens = torch.randint(0, V, (2, 33))
    assert (
        relative_error(load_gguf(tmp_path / "model.gguf")[0](tokens), theirs(tokens).logits) <= 1e-5
    )


@pytest.mark.parametrize(
    "kind, tolerance", [("f16", 0.003), ("bf16", 0.02), ("q8_0", 0.05), ("q4_0", 0.5)]
)
def test_other_kinds_of_weights_are_near_and_quantized_ones_stay_so(kind, tolerance, tmp_path):
    model = random_model(SHAPES["gpt2, untied"])
    save_gguf(tmp_path / "model.gguf", model, TOKENIZER, kind)
    again, _ = load_gguf(tmp_path / "model.gguf")
    tokens = torch.randint(0, V, (2, 17))
    assert 0 < relative_error(again(tokens), model(tokens)) <= tolerance
    assert isinstance(again.model.layers[0].self_attn.k_proj, QuantizedLinear) == kind.startswith(
        "q"
    )
    types = {
        tensor.name: tensor.tensor_type.name
        for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors
    }
    assert types["blk.1.attn_qkv.weight"] == types["token_embd.weight"] == kind.upper()
    assert types["output.weight"] == {"q4_0": "Q8_0"}.get(kind, kind.upper())
    assert (
        types["blk.1.attn_qkv.bias"]
        == types["position_embd.weight"]
        == types["output_norm.weight"]
        == "F32"
    )
    save_gguf(tmp_path / "again.gguf", again, TOKENIZER, "q8_0")  # also from quantized layers


def test_a_matrix_that_blocks_do_not_fit_is_written_as_f16(tmp_path):
    model = random_model(GPTConfig("llama", V, 64, 1, 2, 2, 16, 40, 16))
    assert save_gguf(tmp_path / "model.gguf", model, TOKENIZER, "q8_0") == ["blk.0.ffn_down.weight"]
    assert read_gguf(tmp_path / "model.gguf")[1]["blk.0.ffn_down.weight"].kind == "f16"


def test_what_the_format_has_no_place_for_is_refused_and_nothing_is_written(tmp_path):
    path = tmp_path / "model.gguf"
    dynamic = GPTConfig(
        "llama", V, 64, 1, 2, 2, 16, 40, 16, rope_scaling=RopeScaling("dynamic", 2.0)
    )
    large = random_model(GPTConfig("llama", V, 64, 1, 2, 2, 16, 40, 16))
    large.model.layers[0].mlp.up_proj.weight.data[0, 0] = 1e6
    for model, kind, message in (
        (LSTM(LSTMConfig(V, 32, 1, 16)), "f32", "LSTM cannot be written as GGUF"),
        (GPT(dynamic), "f32", r"does not support this RoPE scaling \(dynamic\)"),
        (
            GPT(GPTConfig("modern", V, 32, 1, 2, 2, 16, 40, 16, attention_bias=True)),
            "f32",
            "does not support these biases",
        ),
        (large, "f16", "up_proj.weight holds .* too large for f16"),
        (large, "q8", "unknown weight format 'q8'"),
    ):
        with pytest.raises(XinyeError, match=message):
            save_gguf(path, model, TOKENIZER, kind)
    assert list(tmp_path.iterdir()) == []


# -- tokenizers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pre", ["gpt-2", "qwen2", "llama-bpe", "smollm", "tekken", "default"])
def test_a_pre_split_is_known_by_its_name(pre):
    values = to_metadata(TOKENIZER, V) | {"tokenizer.ggml.pre": pre}
    tokenizer = from_metadata(values)
    assert [tokenizer.decode(tokenizer.encode(text)) for text in TEXTS] == TEXTS
    assert to_metadata(tokenizer, V) == values
    pieces = [text for text, _ in tokenizer.backend.pre_tokenizer.pre_tokenize_str("in 1234")]
    assert pieces[1:] == {
        "smollm": ["Ġ", "1", "2", "3", "4"], "gpt-2": ["Ġ1234"], "llama-bpe": ["Ġ", "123", "4"],
        "default": ["Ġ", "123", "4"],
    }.get(pre, ["Ġ", "1", "2", "3", "4"])  # fmt: skip


def test_ids_are_those_of_a_gpt2_tokenizer_and_of_one_that_splits_digits():
    """The pre-splits as Hugging Face's files have them, not by regular expressions."""
    from tokenizers import pre_tokenizers

    for pre, parts in (
        ("gpt-2", []),
        ("smollm", [pre_tokenizers.Digits(individual_digits=True)]),
    ):
        theirs = Tokenizer.train(TEXTS * 3, kind="bpe").backend
        theirs.pre_tokenizer = pre_tokenizers.Sequence(
            [*parts, pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        values = to_metadata(Tokenizer(theirs), theirs.get_vocab_size())
        assert values["tokenizer.ggml.pre"] == pre
        ours = from_metadata(values)
        for text in TEXTS:
            assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


def sentencepiece_metadata() -> dict[str, object]:
    """A SentencePiece model: a few pieces with scores, and all bytes."""
    pieces = [
        "▁",
        "l",
        "e",
        "a",
        "f",
        "叶",
        "新",
        "le",
        "af",
        "▁le",
        "leaf",
        "▁leaf",
        "新叶",
        "▁新叶",
    ]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * 259 + [-float(i) for i in range(len(pieces))],
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * len(pieces)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def test_sentencepiece_joins_by_scores_and_falls_back_on_bytes():
    values = sentencepiece_metadata()
    tokenizer = from_metadata(values)
    names = [values["tokenizer.ggml.tokens"][token] for token in tokenizer.encode("leaf 新叶é")]
    assert names == ["▁leaf", "▁新叶", "<0xC3>", "<0xA9>"]
    assert tokenizer.prefix == (1,) and tokenizer.stop_ids == {2}
    assert tokenizer.decode(tokenizer.encode("leaf 新叶é")).strip() == "leaf 新叶é"
    again = from_metadata(to_metadata(tokenizer, tokenizer.vocab_size))
    assert [again.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]


def llama_2_tokenizer(folder, prepends=True, **changes):
    """A folder with a tokenizer as Llama 2 has it: pieces that SentencePiece would learn, joined in
    the order of their scores, and all bytes."""
    counts = Counter(
        f"▁{word}"[start:end]
        for word in " ".join(TEXTS + ["leaf leaves new newer 新叶 新芽"] * 3).split()
        for start in range(len(word) + 1)
        for end in range(start + 2, min(start + 5, len(word) + 1) + 1)
    )
    letters = sorted({letter for piece in counts for letter in piece} - {"平"})
    pieces = [piece for piece, count in counts.most_common(300) if count > 1 and "平" not in piece]
    tokens = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *pieces,
        *letters,
    ]
    ids = {token: index for index, token in enumerate(tokens)}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    model = {"type": "BPE", "vocab": ids, "merges": merges, "unk_token": "<unk>", "fuse_unk": True,
             "byte_fallback": True, "dropout": None, **changes}  # fmt: skip
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    bytes_to_text = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                     {"type": "ByteFallback"}, {"type": "Fuse"},
                     {"type": "Strip", "content": " ", "start": 1, "stop": 0}]  # fmt: skip
    special = {
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }
    saved = {
        "version": "1.0", "truncation": None, "padding": None, "model": model,
        "added_tokens": [{"id": ids[token], "content": token, **special} for token in tokens[:3]],
        "normalizer": normalizer if prepends else None,
        "pre_tokenizer": None if prepends else metaspace,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": bytes_to_text},
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(saved), "utf-8")
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names), "utf-8")
    return Tokenizer.load(folder)


def as_llama_cpp_splits(values, text):
    """What llama.cpp's `llm_tokenizer_spm` does: of all neighbours that are a token together it
    joins those with the best score, the leftmost first."""
    ids = {token: index for index, token in enumerate(values["tokenizer.ggml.tokens"])}
    scores = values["tokenizer.ggml.scores"]
    space = " " * values["tokenizer.ggml.add_space_prefix"]
    symbols = list((space + text).replace(" ", "▁"))
    while True:
        pairs = [
            (-scores[ids[left + right]], index)
            for index, (left, right) in enumerate(itertools.pairwise(symbols))
            if left + right in ids
        ]
        if not pairs:
            break
        index = min(pairs)[1]
        symbols[index : index + 2] = [symbols[index] + symbols[index + 1]]
    bytes_of = lambda symbol: [ids[f"<0x{byte:02X}>"] for byte in symbol.encode()]  # noqa: E731
    return [i for symbol in symbols for i in ([ids[symbol]] if symbol in ids else bytes_of(symbol))]


@pytest.mark.parametrize("prepends", [True, False], ids=["Llama 2", "transformers 5"])
def test_a_tokenizer_of_llama_2_is_written_and_splits_alike(prepends, tmp_path, xinye):
    tokenizer = llama_2_tokenizer(tmp_path / "base", prepends)
    values = to_metadata(tokenizer, tokenizer.vocab_size + 2)
    types = values["tokenizer.ggml.token_type"]
    assert values["tokenizer.ggml.model"] == "llama" and types[:3] == [2, 3, 3]
    assert types[3:259] == [6] * 256 and types[-3:] == [1, 5, 5]
    again = from_metadata(values)
    texts = [*TEXTS, "leaf  new 平", "newleaves, newer叶"]
    for text in texts if prepends else map(str.strip, texts):
        assert as_llama_cpp_splits(values, text) == tokenizer.encode(text) == again.encode(text)
        assert again.decode(again.encode(text)) == text
    # the whole model, as a person has it
    config = GPTConfig("llama", tokenizer.vocab_size, 32, 1, 2, 2, 16, 40, 64)
    save_model(tmp_path / "base", random_model(config), tokenizer)
    outcome = xinye("export", tmp_path / "base", "--to", "gguf", "-o", tmp_path / "model.gguf")
    assert outcome.code == 0, outcome.err
    assert ("after every control token" in outcome.err) != prepends
    asked = ("leaf", "--temperature", 0, "--max-tokens", 6, "--dtype", "float32")
    written = [xinye("generate", tmp_path / name, *asked).out for name in ("base", "model.gguf")]
    assert written[0] == written[1] != ""
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file="model.gguf")
    assert theirs.encode("newer leaves", add_special_tokens=False) == tokenizer.encode(
        "newer leaves"
    )


def test_a_tokenizer_that_scores_cannot_describe_is_refused(tmp_path):
    whole = llama_2_tokenizer(tmp_path)
    merges = json.loads(whole.backend.to_str())["model"]["merges"]
    joined = ["".join(merge) for merge in merges]
    one = next(index for index in range(len(merges)) if joined[index] == joined[index + 1])
    apart = [*merges[:one], *merges[one + 1 :], merges[one]]  # of two ways to the same token
    for change, says in (
        ({"merges": merges[1:]}, "in an order that SentencePiece's scores cannot express"),
        ({"merges": apart}, "in an order that"),
        ({"ignore_merges": True}, "normalizes or splits text"),
    ):
        other = llama_2_tokenizer(tmp_path, **change)
        with pytest.raises(XinyeError, match=says):
            to_metadata(other, other.vocab_size)


# -- damage ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    save_gguf(path, random_model(GPTConfig("llama", V, 32, 1, 2, 2, 16, 32, 16)), TOKENIZER, "q8_0")
    return path.read_bytes()


def number_behind(data: bytes, name: str, offset: int, code: str, value: float) -> bytes:
    """The file with another number so many bytes behind a name."""
    at = data.index(name.encode()) + len(name) + offset
    return data[:at] + struct.pack("<" + code, value) + data[at + struct.calcsize(code) :]


DAMAGE = {
    "not a GGUF file": lambda data: b"GGML" + data[4:],
    "version 1 is not supported": lambda data: data[:4] + struct.pack("<I", 1) + data[8:],
    "describes more data than the file contains": lambda data: (
        data[:8] + struct.pack("<Q", 2**62) + data[16:]
    ),
    "the header describes more data": lambda data: data[:16] + struct.pack("<Q", 2**40) + data[24:],
    "header describes more data than": lambda data: number_behind(
        data, "tokenizer.ggml.tokens", 8, "Q", 2**60
    ),
    "tokenizer.ggml.tokens' has the unknown type 9": lambda data: number_behind(
        data, "tokenizer.ggml.tokens", 4, "I", 9
    ),
    "llama.block_count' has the unknown type 77": lambda data: number_behind(
        data, "llama.block_count", 0, "I", 77
    ),
    "4,000,000,000 layers|block_count is 4000000000": lambda data: number_behind(
        data, "llama.block_count", 4, "I", 4_000_000_000
    ),
    "1,000,000 layers .* do not fit": lambda data: number_behind(
        data, "llama.block_count", 4, "I", 1_000_000
    ),
    "lacks tensor blk.1": lambda data: number_behind(data, "llama.block_count", 4, "I", 2),
    "has shape .* not": lambda data: number_behind(data, "llama.feed_forward_length", 4, "I", 64),
    "must be of type int": lambda data: number_behind(data, "llama.context_length", 0, "I", 6),
    "architecture 'mamba' is not supported; Xinye reads qwen3, llama": lambda data: data.replace(
        b"architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama",
        b"architecture\x08\0\0\0\x05\0\0\0\0\0\0\0mamba",
    ),
    "pre-tokenizer 'qwen9' is not supported; Xinye reads gpt-2": lambda data: data.replace(
        b"qwen2", b"qwen9"
    ),
    "has 9 dimensions": lambda data: number_behind(data, "blk.0.attn_q.weight", 0, "I", 9),
    "impossible for": lambda data: number_behind(data, "blk.0.attn_q.weight", 4, "Q", 31),
    "bytes after the end of the file": lambda data: number_behind(
        data, "blk.0.attn_q.weight", 12, "Q", 2**62
    ),
    "has type q5_K, which is not supported": lambda data: number_behind(
        data, "blk.0.attn_q.weight", 20, "I", 13
    ),
    "overlap": lambda data: number_behind(data, "blk.0.attn_q.weight", 24, "Q", 0),
    "not a multiple of 32": lambda data: number_behind(data, "blk.0.attn_q.weight", 24, "Q", 8),
    "bos_token_id is 999": lambda data: number_behind(
        data, "tokenizer.ggml.bos_token_id", 4, "I", 999
    ),
    "not valid UTF-8": lambda data: data.replace(b"qwen2", b"qwen\xff"),
    "cut short": lambda data: data[:-64],
    "damaged or cut short": lambda data: data[:3000],
    "holds NaN or infinity": lambda data: data[:-32] + b"\xff" * 32,
}


@pytest.mark.parametrize("message", DAMAGE)
def test_a_damaged_file_is_refused_in_one_line(message, whole, tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(DAMAGE[message](whole))
    with pytest.raises(XinyeError, match=message) as caught:
        load_gguf(path)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{path}: ")


def mutated(data: bytes, source: random.Random) -> bytes:
    """A GGUF file with some of its header changed: bytes, numbers at the border of their range, or
    an end too early."""
    changed = bytearray(data)
    header = data.index(b"output_norm.weight")
    for _ in range(source.randint(1, 4)):
        at = source.randrange(4, header)
        match source.randrange(4):
            case 0:
                changed[at] = source.randrange(256)
            case 1:
                changed[at : at + 8] = struct.pack(
                    "<Q", source.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1))
                )
            case 2:
                changed[at : at + 4] = struct.pack(
                    "<I", source.choice((0, 4, 5, 6, 8, 9, 12, 2**31, 2**32 - 1))
                )
            case _:
                length = source.randint(1, 40)
                changed[at : at + length] = changed[
                    (start := source.randrange(header)) : start + length
                ]
    return bytes(changed[: source.randrange(len(data))] if source.random() < 0.1 else changed)


def test_a_changed_header_brings_only_our_own_error(whole, tmp_path):
    source, path = random.Random(0), tmp_path / "model.gguf"
    for _ in range(int(os.environ.get("XINYE_FUZZ", 150))):
        path.write_bytes(mutated(whole, source))
        try:
            load_gguf(path)
        except XinyeError as error:
            assert "\n" not in str(error)


# -- llama.cpp -------------------------------------------------------------------------------------


def llama_cpp(program: str, *arguments: object) -> str:
    """What one of llama.cpp's programs prints; they are looked for on the PATH, or in the folder
    LLAMA_CPP names."""
    found = shutil.which(program, path=os.environ.get("LLAMA_CPP")) or shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not on the PATH, nor in the folder that LLAMA_CPP names")
    command = [found, *map(str, arguments)]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True
    )
    return result.stdout.decode("utf-8", "replace")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bpe", "char", "bytes"])
@pytest.mark.parametrize("architecture", ["modern", "llama", "gpt2"])
def test_llama_cpp_reads_the_same_ids_and_writes_the_same_text(
    architecture, kind, tmp_path, story_text
):
    tokenizer = Tokenizer.train(
        story_text.values(), kind=kind, vocab_size=800 if kind == "bpe" else None
    )
    heads = 4 if architecture == "gpt2" else 2
    model = random_model(
        GPTConfig(architecture, tokenizer.vocab_size, 64, 2, 4, heads, 16, 96, 256, False)
    )
    path = tmp_path / "model.gguf"
    save_gguf(path, model, tokenizer)
    for text in TEXTS:
        printed = llama_cpp(
            "llama-tokenize",
            "-m",
            path,
            "-p",
            text,
            "--ids",
            "--log-disable",
            "--no-parse-special",
            "--no-escape",
        )
        assert json.loads(printed.splitlines()[-1]) == [*tokenizer.prefix, *tokenizer.encode(text)]
    exact = ("-ctk", "f32", "-ctv", "f32", "-fa", "off", "-t", 1)
    prompt, (ours,) = (
        "从前 once",
        [start(tokenizer, "从前 once", 256, Sampling(max_tokens=24, temperature=0))],
    )
    for _ in generate(model, tokenizer, [ours]):
        pass
    # llama-completion loses what it prints last
    printed = llama_cpp("llama-simple", "-m", path, "-n", 24, prompt)
    assert printed.rstrip("\n").rstrip("�") == f"<bos>{prompt}{ours.text}".rstrip("\n").rstrip("�")
    folder = tmp_path / "logits"
    llama_cpp(
        "llama-debug",
        "-m",
        path,
        "-p",
        prompt,
        "--save-logits",
        "--logits-output-dir",
        folder,
        *exact,
    )
    (file,) = (each for each in folder.glob("*.bin") if "tokens" not in each.name)
    with torch.inference_mode():
        logits = model(torch.tensor([[*tokenizer.prefix, *tokenizer.encode(prompt)]]))[0, -1]
    # llama.cpp looks its GELU up in a table of 16 bits
    tolerance = 1e-3 if architecture == "gpt2" else 1e-5
    assert relative_error(torch.from_numpy(np.fromfile(file, np.float32)), logits) <= tolerance


@pytest.mark.slow
def test_a_k_quant_of_llama_quantize_is_read(tmp_path):
    model = random_model(GPTConfig("llama", V, 256, 2, 4, 2, 64, 512, 64))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(1 if "norm" in name else 0.2)  # or a small change becomes a large one
    save_gguf(tmp_path / "f32.gguf", model, TOKENIZER)
    llama_cpp("llama-quantize", tmp_path / "f32.gguf", tmp_path / "q4.gguf", "Q4_K_M")
    kinds = {tensor.kind for tensor in read_gguf(tmp_path / "q4.gguf")[1].values()}
    assert {"q4_K", "q6_K"} <= kinds
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="q4.gguf", dtype=torch.float32
    )
    tokens = torch.randint(0, V, (1, 20))
    assert relative_error(load_gguf(tmp_path / "q4.gguf")[0](tokens), theirs(tokens).logits) <= 0.02
