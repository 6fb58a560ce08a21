"""Adapters change nothing at first, learn while the base stays as it is, and compute the same in
every way of use."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import random_models
from xinye.data.batches import IGNORED
from xinye.errors import XinyeError, checked
from xinye.model.adapter_settings import AdapterSettings
from xinye.model.adapters import (
    adapter_state,
    after_step,
    attach,
    extra_loss,
    flops_per_token,
    merge,
    ranks_of,
    trainable_table,
)
from xinye.model.config import GPTConfig, LSTMConfig
from xinye.model.gpt import GPT
from xinye.model.heads import Head, HeadConfig, Labelled
from xinye.model.lstm import LSTM
from xinye.training.distributed import processes
from xinye.training.loop import Loop
from xinye.training.optimizers import Optimization, make_optimizers

V = 40
SHAPES = {
    "modern": GPTConfig("modern", V, 24, 2, 4, 2, 6, 40, 64),
    "llama": GPTConfig("llama", V, 24, 2, 4, 1, 6, 40, 64, tie_word_embeddings=False),
    "gpt2": GPTConfig("gpt2", V, 24, 2, 4, 4, 6, 96, 64),
}
METHODS = {
    "lora": AdapterSettings(method="lora", r=4),
    "adalora": AdapterSettings(method="adalora", init_r=4, target_r=2),
    "prefix": AdapterSettings(method="prefix", num_virtual_tokens=6),
    "adapter": AdapterSettings(method="adapter", bottleneck_size=8),
}
every_architecture = pytest.mark.parametrize("architecture", SHAPES)
every_method = pytest.mark.parametrize("method", METHODS)


def random_model(architecture: str) -> GPT:
    return random_models.random_model(SHAPES[architecture], 0.2).train()


def adapted(architecture: str, method: str) -> GPT:
    """A random model with a random adapter."""
    model = random_model(architecture)
    attach(model, METHODS[method])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.2)
    return model


def close(one: Tensor, other: Tensor) -> bool:
    return float((one - other).detach().abs().max()) <= 1e-5 * float(other.detach().abs().max())


def learn(
    model: GPT, steps: int, first: int = 0, total: int | None = None, rate: float = 0.03
) -> list[float]:
    """Learn two sequences; returns the losses."""
    tokens = torch.tensor([[3, 7, 5, 7] * 3 + [3], [5, 7, 3, 7] * 3 + [5]])

    class Batch:
        counted = 24

        def to(self, device: object) -> "Batch":
            return self

    def loss_sum(batch: Batch) -> Tensor:
        return model.loss(tokens[:, :-1], tokens[:, 1:]) + batch.counted * extra_loss(model)

    optimizers = make_optimizers(model, Optimization("muon", rate, 0.02, 0.0))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    loop = Loop(
        loss_sum, parameters, optimizers, lambda step: [Batch()], lambda step: 1.0,
        after_step=lambda step: after_step(model, step, total or steps),
    )  # type: ignore[arg-type,list-item]  # fmt: skip
    return [step.loss for step in loop.take(first, lambda: steps)]


@every_architecture
@pytest.mark.parametrize("method", ["lora", "adalora", "adapter"])
def test_at_first_nothing_changes(architecture: str, method: str) -> None:
    model, tokens = random_model(architecture), torch.randint(0, V, (2, 9))
    before = model(tokens)
    attach(model, METHODS[method])
    assert torch.equal(model(tokens), before)


@pytest.mark.parametrize("architecture", ["modern", "gpt2"])
@every_method
def test_it_learns_and_the_base_stays_bit_for_bit(architecture: str, method: str) -> None:
    model, base = random_model(architecture), random_model(architecture).state_dict()
    attach(model, METHODS[method])
    losses = learn(model, 12, rate=0.5 if method == "prefix" else 0.05)
    assert losses[-1] < 0.9 * losses[0]
    held = {name.replace(".base_layer", ""): tensor for name, tensor in model.state_dict().items()}
    assert all(torch.equal(held[name], tensor) for name, tensor in base.items())


@every_method
def test_only_the_adapter_and_a_new_head_are_trained(method: str) -> None:
    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gpt, self.score = random_model("modern"), torch.nn.Linear(24, 3)

    model = Classifier()
    attach(model, METHODS[method])
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name in trained if ".adapter." not in name and ".prefix." not in name} == {
        "score.weight",
        "score.bias",
    }
    assert len(trained) > 2


@every_architecture
@every_method
def test_with_the_cache_it_computes_the_same(architecture: str, method: str) -> None:
    model, tokens = adapted(architecture, method), torch.randint(0, V, (2, 12))
    whole = model(tokens)
    cache = model.new_cache(2)
    with torch.no_grad():
        parts = [model(tokens[:, :5], cache=cache)]
        parts += [model(tokens[:, at : at + 1], cache=cache) for at in range(5, 12)]
    assert close(torch.cat(parts, dim=1), whole)


@every_architecture
@every_method
def test_packed_documents_compute_as_if_each_were_alone(architecture: str, method: str) -> None:
    model, lengths = adapted(architecture, method), (7, 4, 5)
    room = sum(lengths) + 3  # the rest is padding
    tokens, positions = (
        torch.zeros(1, room, dtype=torch.long),
        torch.zeros(1, room, dtype=torch.long),
    )
    targets, documents = torch.full((1, room), IGNORED), torch.full((1, room), -1)
    alone, at = torch.zeros(()), 0
    for number, length in enumerate(lengths):
        text, part = torch.randint(0, V, (1, length + 1)), slice(at, at + length)
        tokens[:, part], targets[:, part] = text[:, :-1], text[:, 1:]
        positions[0, part], documents[:, part] = torch.arange(length), number
        alone, at = alone + model.loss(text[:, :-1], text[:, 1:]), at + length
    assert close(model.loss(tokens, targets, positions, documents), alone)


@every_architecture
def test_a_prefix_of_a_texts_own_keys_and_values_is_that_text(architecture: str) -> None:
    """What a prefix starts with is what the base would have seen."""
    model = random_model(architecture)
    attach(model, METHODS["prefix"], seed=4)
    before = torch.randint(V, (1, 6), generator=torch.Generator().manual_seed(4))
    tokens = torch.randint(0, V, (1, 9))
    assert close(
        model(tokens), random_model(architecture)(torch.cat((before, tokens), dim=1))[:, 6:]
    )
    assert model.config.max_position_embeddings == 64 - 6


def test_the_ranks_of_adalora_move_to_their_budget() -> None:
    model = random_model("modern")
    attach(model, AdapterSettings(method="adalora", init_r=6, target_r=2, tinit=3, tfinal=5))
    totals = []
    for step in range(20):
        learn(model, step + 1, step, total=20)
        totals.append(sum(ranks_of(model).values()))
    matrices = 2 * 7
    cubic = [
        int((6 - 2) * matrices * (1 - (step - 3) / (20 - 5 - 3)) ** 3) + 2 * matrices
        for step in range(4, 16)
    ]
    assert totals == [6 * matrices] * 3 + cubic + [2 * matrices] * 5
    assert len(set(ranks_of(model).values())) > 1  # by importance, not evenly


def test_where_allocations_are_rare_the_last_one_still_meets_the_budget() -> None:
    model = random_model("gpt2")
    attach(model, AdapterSettings(method="adalora", init_r=4, target_r=1, deltaT=50))
    learn(model, 8)
    assert sum(ranks_of(model).values()) == 1 * 2 * 4


def test_adalora_goes_on_bit_for_bit() -> None:
    whole, first, second = (random_model("gpt2") for _ in range(3))
    for model in (whole, first, second):
        attach(model, METHODS["adalora"])
    learn(whole, 6, total=12)
    learn(whole, 12, 6, total=12)  # a new optimizer, as those that follow have
    learn(first, 6, total=12)
    second.load_state_dict(
        {name: tensor.clone() for name, tensor in adapter_state(first).items()}, strict=False
    )
    learn(second, 12, 6, total=12)
    assert ranks_of(second) == ranks_of(whole)
    for name, tensor in adapter_state(whole).items():
        assert torch.equal(adapter_state(second)[name], tensor)


@every_architecture
@pytest.mark.parametrize("method", ["lora", "adalora"])
def test_merged_it_is_a_plain_model_with_the_same_logits(architecture: str, method: str) -> None:
    model, tokens = adapted(architecture, method), torch.randint(0, V, (2, 9))
    logits = model(tokens)
    merge(model)
    assert close(model(tokens), logits)
    assert model.state_dict().keys() == random_model(architecture).state_dict().keys()


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("prefix", "keys and values, which cannot be merged into weights"),
        ("adapter", "a nonlinear layer, which cannot be merged into weights"),
    ],
)
def test_what_is_no_change_of_weights_is_not_merged(method: str, reason: str) -> None:
    with pytest.raises(XinyeError, match=reason):
        merge(adapted("modern", method))


@every_method
@pytest.mark.parametrize("base", [torch.float32, torch.bfloat16])
def test_in_bf16_the_adapters_weights_and_gradients_are_fp32(
    method: str, base: torch.dtype
) -> None:
    model = random_model("modern").to(base)
    model.compute_dtype = torch.bfloat16
    attach(model, METHODS[method])
    tokens = torch.randint(0, V, (2, 9))
    assert model(tokens).dtype == torch.bfloat16
    model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(
        parameter.dtype == torch.float32 and parameter.grad.isfinite().all()
        for parameter in trained
    )


@every_method
def test_adamw_moves_adapters_and_muon_nothing(method: str) -> None:
    (optimizer,) = make_optimizers(adapted("modern", method), Optimization("muon", 1e-3, 1e-2, 0.1))
    assert isinstance(optimizer, torch.optim.AdamW)


@every_method
def test_the_gradients_of_processes_are_exchanged(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokens = adapted("gpt2", method), torch.randint(0, V, (2, 9))
    model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    wanted = [parameter.grad.clone() for parameter in model.parameters() if parameter.requires_grad]
    model.zero_grad()
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "0",
    }.items():
        monkeypatch.setenv(name, value)
    with processes():
        together = torch.nn.parallel.DistributedDataParallel(model)
        for _ in range(2):  # the second time it would say which had no gradient
            model.zero_grad()
            logits = together(tokens[:, :-1])
            torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum"
            ).backward()
    found = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
    assert all(close(one, other) for one, other in zip(found, wanted, strict=True))


def test_the_table_counts_what_is_trained() -> None:
    model = random_model("modern")
    attach(model, METHODS["lora"])
    rows = {row.name: row for row in trainable_table(model)}
    change = 2 * 4 * (3 * (24 + 40) + 2 * (24 + 12) + 2 * (24 + 24))
    assert (rows["lora"].trainable, rows["lora"].total) == (change, change)
    assert rows["attention"].trainable == 0 and rows["norms"].total == 5 * 24 + 4 * 6
    total = SHAPES["modern"].parameters + change
    assert rows["all"] == ("all", change, total, change / total)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"method": "prefix", "r": 4}, "r has no effect on prefix; it uses num_virtual_tokens"),
        ({"method": "lora", "init_r": 4}, "init_r has no effect on lora"),
        (
            {"method": "adalora", "init_r": 4, "target_r": 5},
            "target_r (5) is larger than init_r (4)",
        ),
        ({"rank": 4}, "unknown key 'rank'"),
    ],
)
def test_settings_without_effect_are_refused(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(XinyeError) as error:
        checked(AdapterSettings, values, "finetune")
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    ("architecture", "settings", "complaint"),
    [
        ("modern", {"target_modules": ("q_porj",)}, "no 'q_porj'; it has q_proj"),
        ("gpt2", {"target_modules": ("v_proj",)}, "in GPT-2 these three are one matrix, c_attn"),
        (
            "modern",
            {"method": "prefix", "num_virtual_tokens": 64},
            "it must be below the context of 64",
        ),
    ],
)
def test_what_a_model_cannot_have_is_refused(
    architecture: str, settings: dict[str, object], complaint: str
) -> None:
    with pytest.raises(XinyeError) as error:
        attach(random_model(architecture), checked(AdapterSettings, settings, "finetune"))
    assert complaint in str(error.value)


def test_a_second_adapter_and_an_lstm_are_refused() -> None:
    with pytest.raises(XinyeError, match="has an adapter already"):
        attach(adapted("modern", "lora"), METHODS["prefix"])
    with pytest.raises(XinyeError, match="adapters work with a GPT only"):
        attach(LSTM(LSTMConfig(V, 8, 1, 16)), METHODS["lora"])


def test_a_schedule_without_a_step_for_ranks_to_go_is_refused() -> None:
    with pytest.raises(XinyeError, match="tinit 5 and tfinal 3 leave none of the 8 steps"):
        AdapterSettings(method="adalora", tinit=5).model_copy(update={"tfinal": 3}).scheduled(8)


@pytest.mark.parametrize(
    ("method", "least"),
    [("full", 1.0), ("head", 1.0), ("lora", 0.98), ("adapter", 0.92)],
    ids=lambda value: str(value),
)
def test_flops_are_those_that_pytorch_counts(method: str, least: float) -> None:
    """Where its first layers' inputs ask for no gradient, PyTorch does a little less than is
    counted here."""
    config = GPTConfig("modern", V, 128, 6, 4, 2, 32, 256, 256, is_causal=False)
    model = Head.over(GPT(config), HeadConfig(config, "token", tuple("abcdefgh")))
    if method == "head":
        model.gpt.requires_grad_(False)
    elif method != "full":
        attach(model, METHODS[method])
    batch = Labelled(
        torch.randint(V, (1, 256)), torch.tensor([256]), torch.zeros(1, 256, dtype=torch.long)
    )
    with FlopCounterMode(display=False) as counter:
        model.loss(batch).backward()
    assert least <= counter.get_total_flops() / (256 * flops_per_token(model, 256)) < 1.001


def test_flops_of_frozen_weights_by_hand() -> None:
    layers, head, attention = 2 * (4 * 24 * 24 + 2 * 24 * 96), 24 * V, 2 * 2 * 24
    model = random_model("gpt2")
    assert (
        flops_per_token(model, 10)
        == SHAPES["gpt2"].flops_per_token(10)
        == 6 * (layers + head) + 30 * attention
    )
    attach(model, METHODS["lora"])
    rank = 4 * 2 * ((24 + 72) + (24 + 24) + (24 + 96) + (96 + 24))
    assert flops_per_token(model, 10) == 4 * (layers + head) + 30 * attention + 6 * rank
    model = random_model("gpt2")
    # of six, which every token sees, as none sees more than half of the others
    attach(model, METHODS["prefix"])
    assert flops_per_token(model, 10) == 4 * (layers + head) + 3 * (10 + 2 * 6) * attention
