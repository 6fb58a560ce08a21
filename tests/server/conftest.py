"""Tiny models, and one server of them for all tests that only ask."""

from collections.abc import Iterator

import pytest
import torch

from server.browser import CHINESE, Page, another, browsing
from server.tiny_server import SHAPE, TOKENIZER, Running, serving
from xinye.checkpoints.huggingface import save_model
from xinye.model.gpt import GPT
from xinye.model.heads import POINTERS, Head, HeadConfig
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.tasks.answer import Answer
from xinye.tasks.tag import Tag


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The folders of `tiny`, which writes, `reviews`, which judges, `names`, which tags, and
    `reader`, which answers; not to be changed."""
    root = tmp_path_factory.mktemp("models")
    model = GPT(SHAPE)
    model.initialize(1)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.normal_(
            0, 0.3, generator=torch.Generator().manual_seed(1)
        )
    save_model(root / "tiny", model, TOKENIZER)
    tokenizers = {
        "sequence": TOKENIZER,
        "token": Tag.tokenizer(TOKENIZER),
        "span": Answer.tokenizer(TOKENIZER),
    }
    for name, kind, labels in (
        ("reviews", "sequence", ("好", "坏")),
        ("names", "token", ("O", "B-PER", "I-PER")),
        ("reader", "span", POINTERS),
    ):
        head = Head.over(model, HeadConfig(SHAPE, kind, labels))
        head.score.weight.data.normal_(generator=torch.Generator().manual_seed(2))
        save_model(root / name, head, tokenizers[kind])
    return [str(root / name) for name in ("tiny", "reviews", "names", "reader")]


@pytest.fixture(scope="session")
def server(folders: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests that only ask, with a knowledge base, `kb`."""
    root = tmp_path_factory.mktemp("knowledge")
    (root / "leaf.md").write_text("# 叶\n\n从前有一片新叶。\n\n# Leaf\n\nThe leaf fell.\n", "utf-8")
    KnowledgeBase.build(root / "kb", [root / "leaf.md"])
    with serving(folders, knowledge=(str(root / "kb"),)) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a browser that speaks Chinese."""
    with browsing(tmp_path_factory.mktemp("browser"), *CHINESE) as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """Another page of the browser, in which nothing may go wrong."""
    with another(browser) as page:
        yield page
        wrong = ("Runtime.exceptionThrown", "Log.entryAdded")
        assert [str(each) for each in page.events if each["method"] in wrong] == []
