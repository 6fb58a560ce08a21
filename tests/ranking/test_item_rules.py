import pytest

from xinye.errors import XinyeError
from xinye.ranking.item_rules import shape_of


@pytest.mark.parametrize("size", [250_000, 1_000_000, 5_000_000, 50_000_000])
@pytest.mark.parametrize("items", [50, 3_496])
def test_the_shape_has_about_the_size(size, items):
    config = shape_of(size, items, 256)
    parameters = config.parameters + 257 * config.hidden_size
    assert 0.6 < parameters / size < 1.6
    assert config.vocab_size == items
    assert config.head_dim * config.num_attention_heads == config.hidden_size


def test_too_many_items_for_the_size_are_refused():
    with pytest.raises(XinyeError, match="100,000 items need at least"):
        shape_of(1_000_000, 100_000, 256)
