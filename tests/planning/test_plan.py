"""The plan: sizes that are met, reasons for everything, and what does not fit refused with the
arithmetic."""

import numpy as np
import pytest
import torch

from xinye import machine
from xinye.errors import XinyeError
from xinye.model.loss import IN_PLACE
from xinye.planning import finetuning
from xinye.planning import pretraining as planning
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.memory import LOGIT_BYTES, Memory, Room, check_size
from xinye.planning.plan import GROUPS, Draft
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import parse_count

SIZES = ["1M", "5M", "15M", "50M", "125M", "350M"]
CPU = torch.device("cpu")


def vocabularies(size: int) -> set[int]:
    """The vocabularies that the plan itself chooses for small and large, Chinese and English
    texts."""
    texts = [
        (characters, chinese)
        for characters in (200_000, 5_000_000, 10**9)
        for chinese in (False, True)
    ]
    return {planning.vocabulary_size(size, characters, chinese)[0] for characters, chinese in texts}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("architecture", ["modern", "llama", "gpt2"])
def test_every_size_is_met(size, architecture):
    wanted = parse_count(size)
    settings = PretrainSettings(size=size, architecture=architecture)
    sizes = sorted(vocabularies(wanted))
    for vocabulary in (sizes[0], sizes[-1]):
        config = planning.shape(Draft(), settings, vocabulary, 256)
        assert abs(config.parameters / wanted - 1) <= 0.25, (vocabulary, config)
        assert config.hidden_size % 64 == 0 and config.hidden_size % config.num_attention_heads == 0


def test_every_value_has_its_reason():
    plan, settings = Draft(), PretrainSettings(size="1M", steps=100, learning_rate=0.01)
    config = planning.shape(plan, settings, 1024, 128)
    plan.choose("context", None, 128, "usual")
    planning.batches(plan, settings, config, CPU)
    planning.rates(plan, settings, config)
    planning.precision(plan, settings, CPU, machine.fast_dtype(CPU))
    planning.regularisation(plan, settings, 1000, 100, 1e11)
    planning.schedule(plan, settings, 100, "given")
    assert set(plan.values) == set(plan.reasons) and all(plan.reasons.values())
    assert plan.reasons["learning_rate"] == "given" and plan.values["learning_rate"] == 0.01
    assert plan.reasons["steps"] == "given"
    finished = plan.finished(settings)
    table = [(group, name) for group in GROUPS for name, _, _ in finished.rows(group)]
    assert {name for _, name in table} == set(plan.values) == set(finished.values)
    assert table[:1] == [("model", "layers")] and table[-1] == ("machine", "compile")
    assert ("optimization", "steps") in table
    assert finished.values == plan.values and finished.seed == settings.seed
    needed = {
        "layers",
        "width",
        "heads",
        "batch_size",
        "learning_rate",
        "dtype",
        "dropout",
        "compile",
        "steps",
        "warmup",
    }
    assert needed <= set(plan.values)


def test_what_is_given_is_taken():
    settings = PretrainSettings(size="1M", layers=3, width=96, heads=3, key_value_heads=1)
    config = planning.shape(Draft(), settings, 300, 64)
    assert (config.num_hidden_layers, config.hidden_size) == (3, 96)
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (3, 1, 32)


@pytest.mark.parametrize("architecture", ["modern", "gpt2"])
def test_heads_have_a_size_that_servers_accept_or_the_plan_says_who_refuses(architecture):
    says = {
        320: (64, "64 dimensions per head"),
        288: (96, "SGLang with FlashInfer refuses heads of 96 dimensions"),  # not 4 heads of 72
        208: (104, "vLLM on a CPU and SGLang with FlashInfer refuse heads of 104 dimensions; a"),
    }
    for width, (head_dim, reason) in says.items():
        plan = Draft()
        settings = PretrainSettings(architecture=architecture, width=width, layers=2)
        assert planning.shape(plan, settings, 300, 64).head_dim == head_dim
        assert plan.reasons["heads"].startswith(reason)


def test_a_size_that_the_vocabulary_alone_takes_is_refused():
    with pytest.raises(
        XinyeError,
        match=r"with a vocabulary of 60,000 the nearest model has .* smaller --vocab-size",
    ):
        planning.shape(Draft(), PretrainSettings(size="1M"), 60_000, 64)


def test_a_width_that_no_usual_depth_fits_asks_for_the_layers():
    with pytest.raises(XinyeError, match="give --layers, too"):
        planning.shape(Draft(), PretrainSettings(width=65_536), 300, 64)


def test_what_does_not_fit_is_refused_with_the_arithmetic(monkeypatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda device: 1_000_000_000)
    settings = PretrainSettings(size="125M", micro_batch_size=64)
    check_size(PretrainSettings(size="50M"), 10**9)
    with pytest.raises(
        XinyeError,
        match=r"125,000,000 parameters × \(4 weight \+ 4 gradient \+ 4 optimizer\) bytes = 1.5",
    ):
        check_size(settings, 10**9)
    config = planning.shape(Draft(), settings, 8192, 1024)
    with pytest.raises(XinyeError, match=r"GB for 65,536 tokens at once, but 1.0 GB are free"):
        planning.batches(Draft({"context": 1024}), settings, config, CPU)


def test_what_fits_if_its_layers_are_computed_again_is_said(monkeypatch):
    asked = PretrainSettings(size="50M", micro_batch_size=8)
    config = planning.shape(Draft(), asked, 8192, 1024)
    whole, again = (
        Memory(config, 8192, "muon", again, device=CPU).total for again in (False, True)
    )
    assert again < whole
    monkeypatch.setattr(machine, "memory_bytes", lambda device: (whole + again) // 2)
    with pytest.raises(XinyeError, match="use --activation-checkpointing, or choose a smaller"):
        planning.batches(Draft({"context": 1024}), asked, config, CPU)
    less = PretrainSettings(size="50M", micro_batch_size=8, activation_checkpointing=True)
    planning.batches(Draft({"context": 1024}), less, config, CPU)


def test_a_model_is_split_where_each_process_cannot_have_it_whole():
    asked, gpt = PretrainSettings(size="125M", micro_batch_size=1), (8192, 1024)
    config = planning.shape(Draft(), asked, *gpt)
    whole, parts = (
        Memory(config, 1024, "muon", processes=4, split=split, device=CPU).total
        for split in (False, True)
    )
    chosen = {}
    for free in (whole, parts):
        plan = Draft({"context": 1024})
        planning.batches(plan, asked, config, CPU, Room(free, 4))
        chosen[free] = plan.values["parallel"]
    assert chosen == {whole: "ddp", parts: "fsdp"}
    with pytest.raises(XinyeError, match=r"/ 4 processes = .* gathered, .*start more processes"):
        planning.batches(Draft({"context": 1024}), asked, config, CPU, Room(parts // 2, 4))


def test_a_micro_batch_shrinks_to_fit(monkeypatch):
    settings = PretrainSettings(size="1M", batch_size=64)
    config = planning.shape(Draft(), settings, 1024, 256)
    roomy, tight = Draft({"context": 256}), Draft({"context": 256})
    monkeypatch.setattr(machine, "memory_bytes", lambda device: 10**12)
    planning.batches(roomy, settings, config, CPU)
    monkeypatch.setattr(machine, "memory_bytes", lambda device: 10**8)
    planning.batches(tight, settings, config, CPU)
    assert 1 <= tight.values["micro_batch_size"] < roomy.values["micro_batch_size"] <= 64
    assert tight.values["batch_size"] == roomy.values["batch_size"] == 64


@pytest.mark.parametrize(
    "budget, steps",
    [
        ({"steps": 7}, 7),
        ({"tokens": "64k"}, 500),
        ({"epochs": 2}, 50),
        ({"total_steps": "0:9,3:5"}, 9),
    ],
)
def test_budgets_become_steps(budget, steps):
    plan = Draft({"batch_size": 4, "context": 32})
    budgeted = planning.budgeted_steps(plan, PretrainSettings(**budget), 100)
    assert budgeted is not None and budgeted[0] == steps
    assert planning.budgeted_steps(plan, PretrainSettings(time="10s"), 100) is None


def test_the_context_is_no_longer_than_the_documents():
    short, long = np.full(1000, 60), np.full(10, 100_000)
    assert planning.context_length(1_000_000, short, 60_000)[0] == 64
    assert planning.context_length(1_000_000, long, 1_000_000)[0] == 256
    assert planning.context_length(1_000_000, long, 640)[0] == 32


def test_a_small_text_supports_a_small_vocabulary():
    assert planning.vocabulary_size(5_000_000, 200_000, True)[0] == 1000
    assert (
        planning.vocabulary_size(5_000_000, 10**9, True)[0]
        > planning.vocabulary_size(1_000_000, 10**9, True)[0]
    )


def test_a_process_computes_no_more_at_once_than_its_share():
    settings = PretrainSettings(size="1M", batch_size=8, micro_batch_size=6)
    config = planning.shape(Draft(), settings, 1024, 128)
    plan = Draft({"context": 128})
    planning.batches(plan, settings, config, CPU, Room(10**12, 2))
    assert plan.values["micro_batch_size"] == 4
    assert plan.reasons["micro_batch_size"].endswith("fewer than the 6 given")


def test_logits_are_counted_as_far_as_they_are_computed_together():
    config = planning.shape(Draft(), PretrainSettings(size="50M"), 65_536, 1024)
    few, more, many = (
        Memory(config, tokens, "muon", device=CPU).logits for tokens in (256, 257, 8192)
    )
    assert few == 2**24 * LOGIT_BYTES
    of_head = 4 * 65_536 * config.hidden_size
    assert (more, many) == (few + of_head, IN_PLACE + of_head)
    on_gpu = Memory(config, 1024, "muon", device=torch.device("cuda")).logits
    assert on_gpu == 2**26 * LOGIT_BYTES


def test_few_passes_over_the_text_are_not_rounded_to_none():
    plan = Draft({"batch_size": 4, "device": "cpu"})
    planning.regularisation(plan, PretrainSettings(), 1000, 12, 1.0)
    assert plan.reasons["dropout"] == "less than 0.1 passes over the text"


@pytest.mark.parametrize(
    "longest, cut, says",
    [
        (30, True, "longer records are cut"),
        (32, False, "the longest record has 32 tokens"),
    ],
)
def test_the_context_says_whether_records_are_cut(longest, cut, says):
    """A record that is cut may have less than the context: a conversation loses whole turns."""
    records = finetuning.Records(9, longest, cut, False, "both", (torch.float32, "fast"))
    shape = planning.shape(Draft(), PretrainSettings(size="1M"), 300, 64)
    plan = Draft()
    finetuning.make_plan(plan, FinetuneSettings(context=32), records, shape, CPU)
    assert plan.reasons["context"] == says
