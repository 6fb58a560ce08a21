import numpy as np
import pytest
import torch

from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.items import ItemGPT, seen
from xinye.ranking.chunks import Chunks, ItemBatch
from xinye.ranking.histories import Histories

CONFIG = GPTConfig("modern", 9, 32, 2, 2, 2, 16, 64, 8)


def network(**settings: float) -> ItemGPT:
    """A network with random weights everywhere."""
    generator = torch.Generator().manual_seed(1)
    made = ItemGPT(GPT(CONFIG), torch.randn(9, 4, generator=generator), **settings)
    made.initialize(0)
    with torch.no_grad():
        for weight in made.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return made


def plain(made: ItemGPT) -> GPT:
    """The GPT with complete rows."""
    gpt = GPT(CONFIG)
    gpt.load_state_dict(made.gpt.state_dict())
    gpt.model.embed_tokens.weight.data.copy_(made.complete_rows())
    return gpt


def test_scores_are_the_logits_of_a_plain_gpt():
    made = network(id_dropout=0.5).train()
    histories = [np.array([1, 2, 3]), np.array([], np.int32), np.arange(9), np.array([8])]
    scores = made.scores(histories)
    assert made.training
    gpt = plain(made)
    for history, row in zip(histories, scores, strict=True):
        logits = np.zeros(9, np.float32)
        if len(history):
            logits = gpt(torch.tensor(history[-8:])[None].long())[0, -1].detach().numpy()
        assert row == pytest.approx(logits, abs=1e-5)


def test_loss_is_that_of_a_softmax_over_items_that_are_left():
    made = network()
    tokens = torch.tensor([[3, 1, 4], [2, 0, 0]])
    batch = ItemBatch(tokens, torch.tensor([[-100, 4, 5], [6, -100, -100]]))
    logits = plain(made)(batch.tokens)
    wanted = 0.0
    for row, place, target, had in ((0, 1, 4, [3, 1]), (0, 2, 5, [3, 1, 4]), (1, 0, 6, [2])):
        left = [item for item in range(9) if item not in had]
        chances = logits[row, place, left].log_softmax(-1)
        wanted -= chances[left.index(target)].item()
    assert made.loss(batch).item() == pytest.approx(wanted, rel=1e-5)


def test_items_without_own_vector_get_rows_as_new_items_do():
    made = network(id_dropout=1.0).train()
    assert made.rows().detach() == pytest.approx(made.vectors(made.features), abs=1e-6)
    made.id_dropout = 0.5
    torch.manual_seed(0)
    alike = (made.rows() == made.vectors(made.features)).all(1)
    assert 0 < int(alike.sum()) < 9


def test_new_items_are_scored_and_read():
    made = network()
    new = made.vectors(torch.randn(2, 4))
    scores = made.scores([np.array([1, 2])], new)
    assert scores.shape == (1, 11)
    assert scores[:, :9] == pytest.approx(made.scores([np.array([1, 2])]), abs=1e-6)
    with_new = made.scores([np.array([1, 10])], new)
    assert np.abs(with_new - made.scores([np.array([1, 9])], new)).max() > 1e-4


def test_seen_items():
    tokens = torch.tensor([[3, 1, 4]])
    assert seen(tokens, torch.tensor([[True, False, True]])).tolist() == [[3, 3, 3], [3, 1, 4]]


@pytest.mark.parametrize("id_dropout", [0.0, 0.2])
def test_it_learns_what_follows(id_dropout):
    histories = Histories.of([np.roll(np.arange(9), -first)[:6] for first in range(9)] * 2, 9)
    made = ItemGPT(GPT(CONFIG), torch.eye(9), id_dropout)
    made.initialize(0)
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.01)
    torch.manual_seed(0)
    for step in range(40):
        for batch in Chunks(histories, 8).micro_batches(step * 18, 18, 18):
            optimizer.zero_grad()
            (made.loss(batch) / batch.counted).backward()
            optimizer.step()
    scores = made.scores([np.array([first]) for first in range(9)])
    np.fill_diagonal(scores, -np.inf)  # what a user had does not come again
    assert scores.argmax(1).tolist() == [*range(1, 9), 0]
