"""Figures of tokenizers: the same measure for every kind, checked against what can be counted by
hand."""

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from xinye.data.tokenizer import Tokenizer
from xinye.demo.stories import stories
from xinye.evaluation.tokenizers import language, measure

CHINESE = ["芳林新叶催陈叶，流水前波让后波。", "小兔豆豆看见🍂，笑了。"]
ENGLISH = ["New leaves push out the old ones, don't they?", "Pip the mouse sat by the river."]
TEXTS = CHINESE + ENGLISH


def test_bytes_split_all_that_is_not_ascii():
    figures = measure(Tokenizer.train((), "bytes").backend, TEXTS)
    characters = "".join(TEXTS)
    assert figures.tokens == len(characters.encode()) and figures.bytes_per_token == 1
    assert figures.characters_split == sum(character > "\x7f" for character in characters) / len(
        characters
    )
    assert figures.tokens_per_chinese_character == 3
    assert (
        figures.tokens_per_english_word
        == sum(character.isalpha() for character in "".join(ENGLISH)) / 16
    )
    assert (figures.texts_changed, figures.characters_unknown) == (0, 0)


def test_characters_split_nothing():
    figures = measure(Tokenizer.train(TEXTS, "char").backend, TEXTS)
    assert figures.tokens == len("".join(TEXTS)) and figures.characters_split == 0
    assert figures.tokens_per_chinese_character == 1
    assert figures.bytes_per_token_english == 1 and figures.bytes_per_token_chinese > 2.9


def test_split_characters_are_those_whose_bytes_lie_in_several_tokens():
    texts = list(stories(40, "zh"))
    tokenizer = Tokenizer.train(texts, "bpe", 300)
    whole = split = 0
    for text in texts:
        border = {0}
        for token in tokenizer.encode(text):
            border.add(max(border) + len(tokenizer.token_bytes[token]))
        place = 0
        for character in text:
            inside = range(place + 1, place + len(character.encode()))
            split, whole = split + bool(border & set(inside)), whole + 1
            place += len(character.encode())
    figures = measure(tokenizer.backend, texts)
    assert 0.3 < figures.characters_split == split / whole
    assert (
        figures.bytes_per_token_chinese == figures.bytes_per_token
        and figures.bytes_per_token_english is None
    )


def test_used_vocabulary_and_text_that_reads_like_a_control_token():
    tokenizer = Tokenizer.train((), "bytes")
    figures = measure(tokenizer.backend, ["<eos>", "<eos>"])
    assert figures.tokens == 10 and figures.texts_changed == 0
    assert figures.vocabulary_used == len(set("<eos>")) / tokenizer.vocab_size


def test_byte_fallback_and_the_mark_for_a_space():
    vocabulary = [f"<0x{byte:02X}>" for byte in range(256)] + [
        "▁",
        "叶",
        "新",
        *"abcdefghijklmnopqrstuvwxyz",
    ]
    backend = tokenizers.Tokenizer(
        models.BPE(
            vocab={token: i for i, token in enumerate(vocabulary)}, merges=[], byte_fallback=True
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    space = decoders.Replace("▁", " ")
    backend.decoder = decoders.Sequence(
        [space, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    figures = measure(backend, ["新叶催", "new leaves"])
    assert (
        figures.characters_split == 1 / 13
        and figures.characters_unknown == 0
        and figures.texts_changed == 0
    )
    assert (
        figures.tokens_per_chinese_character == 5 / 3 and figures.tokens_per_english_word == 9 / 2
    )


def test_unknown_words_and_lost_capitals_are_told():
    words = ["[UNK]", "新", "叶", "new", "lea", "##ves"]
    model = models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    backend = tokenizers.Tokenizer(model)
    backend.normalizer, backend.pre_tokenizer = (
        normalizers.BertNormalizer(),
        pre_tokenizers.BertPreTokenizer(),
    )
    backend.decoder = decoders.WordPiece()
    figures = measure(backend, ["新叶催", "New leaves", "new leaves"])
    assert figures.characters_unknown == 1 / 23 and figures.texts_changed == 2 / 3
    assert figures.tokens_per_english_word == 6 / 4 and figures.vocabulary_used == 1


def test_the_language_of_a_text():
    assert [language(text) for text in [*TEXTS, "12345 67", "他说 hello 新叶"]] == [
        "chinese", "chinese", "english", "english", None, "chinese"
    ]  # fmt: skip
