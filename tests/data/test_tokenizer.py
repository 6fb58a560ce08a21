"""Every text survives the way to tokens and back, and nothing that a person types becomes a control
token."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.data.tokenizer import CONTROL_TOKENS, Tokenizer, sample_texts
from xinye.errors import XinyeError

TEXTS = [
    "芳林新叶催陈叶，流水前波让后波。\n沉舟侧畔千帆过，病树前头万木春。",
    "The quick brown fox doesn't jump over 3.14 lazy dogs;\r\n\tthe lazy dogs jump over the quick "
    "brown fox.",
    "新叶新叶 new leaves, 新叶 new leaves 🙂🙂",
] * 3
KINDS = ("bpe", "char", "bytes")
TOKENIZERS = {kind: Tokenizer.train(TEXTS, kind=kind) for kind in KINDS}
CONTROL = len(CONTROL_TOKENS)

# Text of all sorts (surrogates are no text), with what is known to be awkward more often than by
# chance.
AWKWARD = st.sampled_from(
    [
        *CONTROL_TOKENS,
        "新叶",
        "🙂",
        "👩‍👩‍👧",
        "\r\n",
        "\x00\x1f",
        "\u3000",
        "  ",
        "'S",
        "\ue0000\ue001",
    ]
)
ANY_TEXT = st.lists(
    st.one_of(AWKWARD, st.text(st.characters(exclude_categories=["Cs"]), max_size=8)), max_size=8
).map("".join)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(text=ANY_TEXT)
def test_any_text_round_trips(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert tokenizer.encode_batch([text, "", text]) == [tokens, [], tokens]


@pytest.mark.parametrize("kind", KINDS)
def test_control_tokens_are_the_first_ids(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    assert [tokenizer.backend.token_to_id(token) for token in CONTROL_TOKENS] == [0, 1, 2, 3, 4]
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2)
    assert tokenizer.decode(range(CONTROL)) == ""


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(text=ANY_TEXT)
def test_typed_text_never_becomes_a_control_token(kind: str, text: str) -> None:
    assert min(TOKENIZERS[kind].encode(text), default=CONTROL) >= CONTROL


def test_training_on_typed_control_tokens_makes_no_way_to_them() -> None:
    typed = "".join(CONTROL_TOKENS)
    tokenizer = Tokenizer.train([typed * 50], vocab_size=None)
    tokens = tokenizer.encode(typed)
    assert min(tokens) >= CONTROL
    assert tokenizer.decode(tokens) == typed


@settings(max_examples=50, deadline=None)
@given(contents=st.lists(ANY_TEXT, min_size=1, max_size=4))
def test_in_a_chat_only_the_template_makes_control_tokens(contents: list[str]) -> None:
    tokenizer = TOKENIZERS["bpe"]
    messages = [
        {"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)
    ]
    tokens = tokenizer.encode_chat(messages)
    assert [token for token in tokens if token < CONTROL] == [1] + [3, 4] * len(messages) + [3]
    expected = (
        "".join(f"{message['role']}\n{message['content']}\n" for message in messages)
        + "assistant\n"
    )
    assert tokenizer.decode(tokens) == expected


def test_while_one_thread_fills_in_a_chat_another_still_encodes_plain_text() -> None:
    tokenizer = Tokenizer.train(TEXTS, kind="bytes")
    messages = [{"role": "user", "content": "新叶"}] * 8
    typed = "".join(CONTROL_TOKENS)
    with ThreadPoolExecutor(1) as pool:
        chats = pool.submit(lambda: [tokenizer.encode_chat(messages) for _ in range(150)])
        smallest = CONTROL
        while not chats.done():
            smallest = min(smallest, *tokenizer.encode(typed))
    assert smallest >= CONTROL


def test_the_same_texts_give_the_same_file() -> None:
    for kind in KINDS:
        again = Tokenizer.train(iter(TEXTS), kind=kind)
        assert again.files()["tokenizer.json"] == TOKENIZERS[kind].files()["tokenizer.json"]
        assert again.fingerprint == TOKENIZERS[kind].fingerprint


def test_a_vocabulary_larger_than_the_text_supports_names_the_possible_size() -> None:
    possible = TOKENIZERS["bpe"].vocab_size
    with pytest.raises(
        XinyeError, match=f"only {possible} tokens .* --vocab-size {possible} or less"
    ):
        Tokenizer.train(TEXTS, vocab_size=possible + 1)
    assert Tokenizer.train(TEXTS, vocab_size=possible).vocab_size == possible
    assert Tokenizer.train(TEXTS, vocab_size=possible + 1, exact=False).vocab_size == possible


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_a_vocabulary_too_small_for_the_bytes_is_refused(kind: str) -> None:
    with pytest.raises(XinyeError, match="too small: the 256 bytes and control tokens take 261"):
        Tokenizer.train(TEXTS, kind=kind, vocab_size=260)
    assert Tokenizer.train(TEXTS, kind=kind, vocab_size=261).vocab_size == 261


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(
        XinyeError, match="unknown kind of tokenizer 'word'; choose one of bpe, char, bytes"
    ):
        Tokenizer.train(TEXTS, kind="word")


@settings(max_examples=30, deadline=None)
@given(text=ANY_TEXT)
def test_char_makes_every_character_of_its_text_one_token(text: str) -> None:
    tokenizer = Tokenizer.train([text, "芳林新叶催陈叶"], kind="char")
    assert len(tokenizer.encode(text)) == len(text)
    assert len(tokenizer.encode("新叶催芳林")) == 5


def test_char_with_little_room_keeps_the_most_frequent_characters() -> None:
    # two merges a character
    tokenizer = Tokenizer.train(["陈陈陈新新叶"], kind="char", vocab_size=261 + 4)
    assert [len(tokenizer.encode(character)) for character in "陈新"] == [1, 1]
    assert tokenizer.decode(tokenizer.encode("叶")) == "叶"


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(text=ANY_TEXT)
def test_token_lengths_add_up_to_the_bytes_of_the_text(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.token_lengths[tokenizer.encode(text)].sum() == len(text.encode())
    assert not tokenizer.token_lengths[:CONTROL].any()


@pytest.mark.parametrize("length", [300, 70_000])
def test_a_sample_fits_its_budget_and_comes_from_everywhere(length: int) -> None:
    documents = 4_200_000 // length
    # each part tells its place
    texts = [(f"{number:06}" + "叶" * 14) * (length // 20) for number in range(documents)]
    total = sum(len(text.encode()) for text in texts)
    sample, characters = sample_texts(iter(texts), budget=total // 10)
    assert sample == sample_texts(texts, budget=total // 10)[0]
    assert characters == sum(map(len, texts))
    assert total / 10 / 2.1 < sum(len(part.encode()) for part in sample) <= total / 10
    assert {int(part[:6]) * 10 // documents for part in sample} == set(range(10))


def test_a_budget_larger_than_the_text_takes_all_of_it() -> None:
    assert sample_texts(["新叶", "陈叶"], 12) == (["新叶", "陈叶"], 4)


def test_a_saved_tokenizer_loads_as_it_was(tmp_path) -> None:
    tokenizer = Tokenizer(TOKENIZERS["bpe"].backend, chat_template="{{ bos_token }}新叶")
    tokenizer.save(tmp_path / "new" / "folder")
    again = Tokenizer.load(tmp_path / "new" / "folder")
    assert again.files() == tokenizer.files()
    assert again.encode("新叶 <eos>") == tokenizer.encode("新叶 <eos>")


WORD_LEVEL = {
    "type": "WordLevel",
    "vocab": {"<pad>": 0, "<bos>": 1, "<eos>": 2, "新叶": 3},
    "unk_token": "<pad>",
}


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("tokenizer.json", None, "no tokenizer.json there"),
        ("tokenizer.json", b'{"version": "1.0", "model"', "not a tokenizer"),
        ("tokenizer.json", b"\xff\xfe\x00", "not a tokenizer"),
        (
            "tokenizer.json",
            b'{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}',
            "eos_token",
        ),
        # Of another kind: its tokens are no bytes, so that neither texts nor bits per byte would
        # come out right.
        (
            "tokenizer.json",
            json.dumps({"version": "1.0", "model": WORD_LEVEL}).encode(),
            "tokenizer",
        ),
        ("chat_template.jinja", b"\xff\xfe\x00", "chat_template.jinja"),
    ],
    ids=[
        "missing",
        "cut short",
        "binary",
        "no control tokens",
        "not of bytes",
        "template not UTF-8",
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(
    name: str, content: bytes | None, message: str, tmp_path
) -> None:
    TOKENIZERS["bytes"].save(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(XinyeError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("setting", ["truncation", "padding"])
def test_truncation_and_padding_saved_by_other_tools_do_not_touch_the_text(
    setting: str, tmp_path
) -> None:
    saved = Tokenizer.train(TEXTS, kind="bytes")
    if setting == "truncation":
        saved.backend.enable_truncation(3)
    else:
        saved.backend.enable_padding(length=12)
    saved.save(tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    assert len(tokenizer.encode("new leaf")) == len(tokenizer.encode_batch(["new leaf"])[0]) == 8


def test_tokens_added_by_other_tools_keep_their_text(tmp_path) -> None:
    saved = Tokenizer.train(TEXTS, kind="bytes")
    saved.backend.add_tokens(["新叶 leaf"])
    saved.save(tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.decode(tokenizer.encode("陈叶新叶 leaf")) == "陈叶新叶 leaf"
