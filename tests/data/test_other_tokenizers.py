"""Tokenizers of other models: the same ids as in transformers, every byte accounted for, no way to
control tokens."""

import json
from pathlib import Path

import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from xinye.data.tokenizer import PRE_SPLIT, Tokenizer
from xinye.errors import XinyeError
from xinye.generation.stream import TextStream

TEXTS = [
    "芳林新叶催陈叶，流水前波让后波。", "The quick brown fox doesn't jump over 3.14159 dogs.",
    "def f(x):\n\treturn x ** 2  # 平方\n", "🙂👩‍👩‍👧 café naïve ﬁ Ａ１", "a  leading\r\n\r\n  and trailing  ",
    "1234567890", "", "新",
]  # fmt: skip
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}
BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
ALPHABET = pre_tokenizers.ByteLevel.alphabet()


def learned(
    backend: tokenizers.Tokenizer, special: list[str], alphabet: list[str]
) -> tuple[dict, list]:
    trainer = trainers.BpeTrainer(
        vocab_size=480, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(TEXTS * 4, trainer)
    model = json.loads(backend.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def byte_level(
    pre_split: pre_tokenizers.PreTokenizer, ignore_merges: bool = False
) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_split
    vocabulary, merges = learned(backend, [], ALPHABET)
    backend.model = models.BPE(vocabulary, merges, ignore_merges=ignore_merges)
    backend.decoder = decoders.ByteLevel()
    return backend


def byte_fallback() -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    vocabulary, merges = learned(backend, ["<unk>", "<s>", "</s>", *BYTES], [])
    backend.model = models.BPE(
        vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    backend = tokenizers.Tokenizer.from_str(  # the bytes are tokens of the model, not added ones
        json.dumps(json.loads(backend.to_str()) | {"added_tokens": []})
    )
    backend.add_special_tokens(
        [AddedToken(token, normalized=False) for token in ("<unk>", "<s>", "</s>")]
    )
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return backend


def gpt2(folder: Path) -> None:
    backend = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    model = json.loads(backend.to_str())["model"]
    vocabulary = model["vocab"] | {"<|endoftext|>": len(model["vocab"])}
    transformers.GPT2Tokenizer(
        vocab=vocabulary, merges=[tuple(merge) for merge in model["merges"]]
    ).save_pretrained(folder)


def qwen2(folder: Path) -> None:
    split = pre_tokenizers.Split(Regex(PRE_SPLIT), "isolated")
    backend = byte_level(pre_tokenizers.Sequence([split, BYTE_LEVEL]))
    backend.normalizer = normalizers.NFC()
    backend.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    backend.add_tokens(["<think>", "</think>"])
    write(
        folder,
        backend,
        FAST | {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None},
    )


def llama3(folder: Path) -> None:
    split = pre_tokenizers.Split(Regex(PRE_SPLIT.replace(r"\p{N}|", r"\p{N}{1,3}|")), "isolated")
    backend = byte_level(pre_tokenizers.Sequence([split, BYTE_LEVEL]), ignore_merges=True)
    backend.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    bos = ("<|begin_of_text|>", backend.token_to_id("<|begin_of_text|>"))
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos[0]} $A", special_tokens=[bos]
    )
    write(
        folder,
        backend,
        FAST
        | {"bos_token": bos[0], "eos_token": {"__type": "AddedToken", "content": "<|eot_id|>"}},
    )
    (folder / "generation_config.json").write_text(
        json.dumps({"eos_token_id": [bos[1] + 1, bos[1] + 2]})
    )


def smollm2(folder: Path) -> None:
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend = byte_level(
        pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    )
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    write(folder, backend, FAST | {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"})


def llama2(folder: Path) -> None:
    backend = byte_fallback()
    write(folder, backend, FAST | {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})


def mistral(folder: Path) -> None:
    backend = byte_fallback()
    backend.normalizer = None
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    write(folder, backend, FAST | {"bos_token": "<s>", "eos_token": "</s>"})


def write(folder: Path, backend: tokenizers.Tokenizer, config: dict) -> None:
    folder.mkdir()
    (folder / "tokenizer.json").write_text(backend.to_str(), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")


KINDS = {make.__name__: make for make in (gpt2, qwen2, llama3, smollm2, llama2, mistral)}
PREFIXED = ("llama3", "llama2", "mistral")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tokenizers")
    for kind, make in KINDS.items():
        make(root / kind)
    return {kind: root / kind for kind in KINDS}


@pytest.fixture(scope="module")
def pairs(folders):
    """Each tokenizer as it is loaded here, and in transformers."""
    return {
        kind: (Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder))
        for kind, folder in folders.items()
    }


CONTROL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|begin_of_text|>",
    "<s>",
    "</s>",
    "<unk>",
]
PARTS = st.sampled_from([*TEXTS, *CONTROL, "<think>", "<0x41>", "▁", " ", "\n", "[INST]"])
ANY_TEXT = st.lists(
    st.one_of(PARTS, st.text(st.characters(exclude_categories=["Cs"]), max_size=8)), max_size=6
).map("".join)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=40)
@given(text=ANY_TEXT)
def test_the_same_ids_as_in_transformers_and_every_byte(kind, pairs, text):
    ours, theirs = pairs[kind]
    ids = ours.encode(text)
    assert not {*theirs.all_special_ids} & {*ids}, "what is typed became a control token"
    if not any(token in text for token in CONTROL):
        assert ids == theirs(text, add_special_tokens=False)["input_ids"]
        assert [*ours.prefix, *ids] == theirs(text)["input_ids"]
    # a normal form; a space by another name
    if kind != "qwen2" and not (ours.leading_space and "▁" in text):
        # before a space it puts none, and takes one away
        lost = kind == "mistral" and text.startswith(" ")
        assert ours.decode(ids) == (text[1:] if lost else text)
        extra = ours.leading_space and bool(text) and not lost
        assert ours.token_lengths[ids].sum() == len(text.encode()) + extra
    stream = TextStream(ours.token_bytes)
    pieces = "".join(map(stream.push, ids)) + stream.finish()
    assert (pieces.removeprefix(" ") if ours.leading_space else pieces) == ours.decode(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_control_tokens_are_what_the_source_says(kind, pairs):
    ours, theirs = pairs[kind]
    assert ours.prefix == ((theirs.bos_token_id,) if kind in PREFIXED else ())
    assert ours.eos_id == theirs.eos_token_id
    assert ours.bos_id == (
        theirs.eos_token_id if theirs.bos_token_id is None else theirs.bos_token_id
    )
    assert ours.pad_id == (
        theirs.eos_token_id if theirs.pad_token_id is None else theirs.pad_token_id
    )
    assert ours.stop_ids == (
        {ours.bos_id + 1, ours.bos_id + 2} if kind == "llama3" else {ours.eos_id}
    )
    assert ours.leading_space == (kind in ("llama2", "mistral"))
    assert ours.decode([ours.eos_id, ours.bos_id, ours.pad_id]) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_the_same_tokenizer_here_and_there(kind, pairs, tmp_path):
    ours, theirs = pairs[kind]
    ours.save(tmp_path)
    again, there = Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert (
        again.files() == ours.files() and again.prefix == ours.prefix and again.names == ours.names
    )
    for text in TEXTS:
        assert again.encode(text) == ours.encode(text)
        assert (
            there(text)["input_ids"]
            == theirs(text)["input_ids"]
            == [*ours.prefix, *ours.encode(text)]
        )


THINKING = """{% for message in messages %}{% set content = message.content %}
{%- if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}
{{- eos_token + message.role + '\n' + content | trim }}{% generation %}{{ eos_token }}{% endgeneration %}
{% if loop.index > 3 %}{% break %}{% endif %}{% endfor %}
{% if add_generation_prompt %}{{ '<think>' + {'é': [1, '<s>']} | tojson }}{% endif %}"""
SYSTEM_FIRST = """{% if messages[0].role == 'system' %}{% set first = messages[0].content %}{% endif %}
{%- for message in messages if message.role != 'system' %}{{ bos_token }}[INST] {{ first | default('') }}
{{ message['content'].strip() }} [/INST]{{ strftime_now('%Y') }} {{ eos_token }}{% endfor %}"""
CHAT = [
    {"role": "system", "content": " 你是 <助手>。 "},
    {"role": "user", "content": "\n\nWhat is <b>1</b> + 1? 🙂  "},
    {"role": "assistant", "content": "<think>\nhm</think>\n\n二 <"},
    {"role": "user", "content": "ok"},
]


@pytest.mark.parametrize("template", [THINKING, SYSTEM_FIRST], ids=["thinking", "system first"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_chat_is_that_of_transformers(kind, template, pairs):
    ours, theirs = Tokenizer(pairs[kind][0].backend, template, pairs[kind][0].names), pairs[kind][1]
    for prompt in (True, False):
        expected = theirs.apply_chat_template(
            CHAT, chat_template=template, add_generation_prompt=prompt, return_dict=False
        )
        assert ours.encode_chat(CHAT, prompt) == expected


@pytest.mark.parametrize("kind", ["qwen2", "llama2"])
@settings(deadline=None, max_examples=25)
@given(
    contents=st.lists(
        st.one_of(ANY_TEXT, st.text("<|/>sim_endtaorhk", max_size=24)), min_size=1, max_size=3
    )
)
def test_whatever_a_template_does_with_a_content_it_makes_no_control_token(kind, pairs, contents):
    template = (
        "{% for m in messages %}{{ m.content.replace('</think>', '').replace('|im', '') }}{{ "
        "eos_token }}{{ m.content.split('<think>') | join }}{{ m.content | trim | upper }}{% "
        "endfor %}"
    )
    tokenizer = pairs[kind][0]
    tokenizer.chat_template = template
    control = {
        index
        for index, token in tokenizer.backend.get_added_tokens_decoder().items()
        if token.special
    }
    ids = tokenizer.encode_chat([{"role": "user", "content": text} for text in contents])
    assert [token for token in ids if token in control] == [tokenizer.eos_id] * len(contents)


TEMPLATE = "新{{ eos_token }}"


@pytest.mark.parametrize(
    "config, message",
    [
        ({"chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": TEMPLATE}]}, None),
        ({"chat_template": TEMPLATE}, None),
        ({}, "no chat template"),
        ({"chat_template": 3}, "no chat template"),
    ],
    ids=["several", "one", "none", "a number"],
)  # fmt: skip
def test_the_template_is_found_in_the_config(config, message, tmp_path):
    smollm2(tmp_path / "model")
    path = tmp_path / "model" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    tokenizer = Tokenizer.load(tmp_path / "model")
    if message is None:
        assert tokenizer.encode_chat(CHAT) == [*tokenizer.encode("新"), tokenizer.eos_id]
    else:
        with pytest.raises(XinyeError, match=message):
            tokenizer.encode_chat(CHAT)


def test_ids_of_the_models_config_stand_in_for_names(folders, tmp_path):
    smollm2(tmp_path / "model")
    (tmp_path / "model" / "tokenizer_config.json").unlink()
    first = Tokenizer.load(folders["smollm2"])
    ids = {"bos_token_id": first.bos_id, "eos_token_id": [first.eos_id, first.bos_id]}
    (tmp_path / "model" / "config.json").write_text(json.dumps(ids))
    tokenizer = Tokenizer.load(tmp_path / "model")
    assert (tokenizer.names, tokenizer.stop_ids) == (first.names, {first.eos_id, first.bos_id})


def test_gpt2s_own_two_files(folders, tmp_path):
    model = json.loads((folders["gpt2"] / "tokenizer.json").read_text("utf-8"))["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]), "utf-8")
    merges = "\n".join(["#version: 0.2", *(" ".join(merge) for merge in model["merges"])])
    (tmp_path / "merges.txt").write_text(merges, "utf-8")
    tokenizer, expected = Tokenizer.load(tmp_path), Tokenizer.load(folders["gpt2"])
    assert tokenizer.eos_id == expected.eos_id
    assert tokenizer.encode_batch(TEXTS) == expected.encode_batch(TEXTS)


SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data beside the repository")
def test_real_tokenizers_on_real_text(tmp_path):
    gpt = SHARED / "tok_gpt2"
    for theirs, ours in (("encoder.json", "vocab.json"), ("vocab.bpe", "merges.txt")):
        (tmp_path / ours).write_bytes((gpt / theirs).read_bytes())
    there = transformers.GPT2Tokenizer.from_pretrained(tmp_path)
    texts = [*TEXTS, (SHARED / "tinyshakespeare" / "input.txt").read_text("utf-8")[:20_000]]
    assert [Tokenizer.load(tmp_path).encode(text) for text in texts] == [
        there(text)["input_ids"] for text in texts
    ]
    minimind, there = (
        Tokenizer.load(SHARED / "tok_minimind_zh"),
        transformers.AutoTokenizer.from_pretrained(SHARED / "tok_minimind_zh"),
    )
    assert [minimind.encode(text) for text in texts] == [there(text)["input_ids"] for text in texts]
    expected = there.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=False)
    assert minimind.encode_chat(CHAT) == expected


# -- files that ask for more than they should ------------------------------------------------------

TEN = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
BYTES_AGAIN = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": False,
}
NESTED = {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": [TEN] * 5}] * 2}


def with_parts(folder, added=None, **parts):
    """Our smallest tokenizer with other parts."""
    tokenizer = Tokenizer.train([], kind="bytes")
    tokenizer.save(folder)
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    data["added_tokens"][0] |= added or {}
    (folder / "tokenizer.json").write_text(json.dumps(data | parts), "utf-8")
    return folder


def split(pattern):
    one = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [one, BYTES_AGAIN]}


@pytest.mark.parametrize(
    "parts",
    [
        {"normalizer": NESTED},
        # types may be left out
        {"normalizer": {"normalizers": [{"pattern": {"Regex": ""}, "content": "aaa"}] * 9}},
        {"normalizer": {"type": "Prepend", "prepend": "a" * 1000}},
        # would grow while it is loaded
        {"normalizer": NESTED, "added": {"content": "a", "normalized": True}},
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [BYTES_AGAIN] * 40}},
        {"post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 1000,
                            "pair": [], "special_tokens": {}}},
    ],
)  # fmt: skip
def test_a_tokenizer_that_multiplies_text_is_refused(tmp_path, parts):
    with pytest.raises(
        XinyeError, match=r"tokenizer\.json: it could make a text .* times as long"
    ) as caught:
        Tokenizer.load(with_parts(tmp_path, **parts))
    assert "\n" not in str(caught.value)


def test_a_panic_is_one_line(tmp_path, xinye):
    """Oniguruma gives up when it has tried ten million ways, and the library panics."""
    with pytest.raises(XinyeError, match="fails on the text"):
        Tokenizer.load(with_parts(tmp_path, pre_tokenizer=split("(a+)+b"))).encode("a" * 1000)
    piece = {"SpecialToken": {"id": "missing", "type_id": 0}}
    template = {"type": "TemplateProcessing", "single": [piece], "pair": [], "special_tokens": {}}
    with pytest.raises(XinyeError, match="not a tokenizer"):
        Tokenizer.load(with_parts(tmp_path, post_processor=template))
    (tmp_path / "tokenizer.json").write_text('{"normalizer":' * 5000 + "1" + "}" * 5000, "utf-8")
    assert (
        "tokenizer.json: not a tokenizer"
        in xinye("tokenizer", "eval", tmp_path, "zh.txt").complaint
    )
