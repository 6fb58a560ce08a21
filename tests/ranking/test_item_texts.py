import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.ranking.item_texts import ItemTexts, item_terms, language_vectors
from xinye.ranking.items import Item

FILMS = [
    Item("1", "Toy Story (1995)", tags=("动画", "喜剧")),
    Item("2", "Toy Story 2 (1999)", tags=("动画", "喜剧")),
    Item("3", "Heat (1995)", tags=("惊悚",)),
    Item("4", "Speed (1994)", tags=("惊悚",)),
    Item("5", "流浪地球", "科幻电影"),
    Item("6", "流浪地球 2", "科幻电影"),
]


def nearest(features: np.ndarray, row: int) -> int:
    likeness = features @ features[row]
    likeness[row] = -np.inf
    return int(likeness.argmax())


def test_items_with_similar_texts_have_similar_features():
    features = ItemTexts.fit(FILMS).features(FILMS)
    assert [nearest(features, row) for row in (0, 2, 4)] == [1, 3, 5]
    assert (features**2).sum(axis=1).mean() == pytest.approx(1, abs=1e-4)


def test_tags_are_whole_terms():
    assert item_terms(FILMS[2])[-1] == "#惊悚"
    assert item_terms(Item("7", "CAFÉ Ｎｏ", tags=(" New York ",))) == ["café", "no", "#new york"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_any_text_has_finite_features(texts):
    items = [Item(str(number), text, text[::-1], (text,)) for number, text in enumerate(texts)]
    for learned in (items, FILMS):
        fitted = ItemTexts.fit(learned)
        features = fitted.features(items)
        assert features.shape == (len(items), fitted.width)
        assert np.isfinite(features).all()


def test_a_language_model_reads_the_texts(tmp_path):
    tokenizer = Tokenizer.train([film.title + film.text for film in FILMS], kind="char")
    gpt = GPT(GPTConfig("modern", tokenizer.vocab_size, 32, 1, 1, 1, 32, 64, 8))
    gpt.initialize(0)
    vectors = language_vectors(gpt, tokenizer)
    read = vectors([*(film.title for film in FILMS), "", "很长的文字" * 20, "\ud800"])
    assert read.shape == (9, 32)
    texts = ItemTexts.of_vectors(vectors([film.title for film in FILMS]), "runs/base")
    features = texts.features(FILMS, vectors)
    assert features.shape == (6, texts.width)
    assert texts.width <= 5  # six texts about their mean
    assert np.isfinite(features).all()
    texts.save(tmp_path)
    assert (ItemTexts.load(tmp_path).features(FILMS, vectors) == features).all()
    with pytest.raises(XinyeError, match="the language model runs/base"):
        texts.features(FILMS)


def test_saved_and_loaded_texts_give_the_same_features(tmp_path):
    fitted = ItemTexts.fit(FILMS)
    fitted.save(tmp_path)
    new = [Item("8", "流浪地球 3", tags=("动画",))]
    assert (ItemTexts.load(tmp_path).features(new) == fitted.features(new)).all()


def test_damaged_files_are_refused(tmp_path):
    fitted = ItemTexts.fit(FILMS)
    fitted.save(tmp_path)
    (tmp_path / "texts.json").write_text('{"terms": ["a", "a"]}')
    with pytest.raises(XinyeError, match="damaged"):
        ItemTexts.load(tmp_path)
    fitted.basis[0, 0] = np.nan
    fitted.save(tmp_path)
    with pytest.raises(XinyeError, match="damaged"):
        ItemTexts.load(tmp_path)
    (tmp_path / "texts.safetensors").write_bytes(b"\x08" + b"\0" * 20)
    with pytest.raises(XinyeError, match="damaged or cut short"):
        ItemTexts.load(tmp_path)
