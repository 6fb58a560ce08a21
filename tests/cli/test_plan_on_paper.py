"""`xinye plan --gpu`: what is printed, what fits, and what is refused, in both languages."""

import json

import pytest

from xinye.planning.gpus import GPUS
from xinye.planning.memory import Memory
from xinye.planning.pretraining import Config
from xinye.planning.step_time import CUDA

BIG = ("plan", "--size", "1.3B", "--tokens", "26B", "--hosts", "8", "--gpu", "h100")


def planned(xinye, *arguments: str):
    outcome = xinye("plan", *arguments, "--json")
    assert outcome.code == 0 and not outcome.err, outcome.err
    return json.loads(outcome.out)


def test_the_whole_plan_is_printed_as_an_estimate(xinye):
    outcome = xinye(*BIG)
    assert outcome.code == 0 and not outcome.err
    for said in (
        "ESTIMATE on paper for 8 hosts with 8 × H100 SXM 80 GB: nothing was trained or measured",
        "matrix_learning_rate",
        "DDP: each GPU keeps the whole model",
        "all-reduce of the gradients",
        "Not counted: reading data, evaluations, checkpoints, compiling, failures.",
        "HOSTS=8 FIRST=HOST PROCESSES=8 cluster/torchrun.sh pretrain FILES --size 1.3B --tokens 26B -o RUN",
    ):
        assert said in outcome.out


def test_and_in_chinese(xinye, monkeypatch):
    monkeypatch.setenv("XINYE_LANGUAGE", "zh")
    outcome = xinye(*BIG)
    assert outcome.code == 0
    for said in (
        "纸面估算：8 台主机，每台 8 × H100",
        "DDP：每张 GPU 保存整个模型",
        "优化器状态",
        "未计入：读取数据",
    ):
        assert said in outcome.out
    wrong = xinye("plan", "--size", "70B", "--gpu", "h100")
    assert (
        wrong.code == 1
        and "8 个进程 = 105.6 GB" in wrong.complaint
        and "即使使用激活重计算（--activation-checkpointing），这个模型也放不下" in wrong.complaint
    )
    assert "换用 --hosts 2 或 --gpu h200 即可放下" in wrong.complaint
    assert "未知型号" in xinye("plan", "--size", "1B", "--gpu", "h10").complaint


def test_json_agrees_with_the_memory_of_the_planner_and_with_itself(xinye):
    found = planned(xinye, *BIG[1:])
    plan, memory = found["plan"], found["memory_per_gpu"]
    assert found["estimate"] is True and found["processes"] == 64 and found["method"] == "DDP"
    assert found["tokens"] == plan["steps"] * plan["batch_size"] * plan["context"]
    assert abs(found["tokens"] / 26e9 - 1) < 1e-4
    config = shape(plan)
    assert config.parameters == plan["parameters"]
    tokens = found["windows_at_once"] * plan["context"]
    needed = Memory(config, tokens, "muon", processes=64, device=CUDA).total
    assert memory["total"] == needed <= memory["free"]
    fast, slow = found["seconds"]
    assert fast < slow and found["gpu_hours"][0] == pytest.approx(fast * 64 / 3600, abs=0.01)
    peak, flops = 64 * GPUS["h100"].peak, found["total_flops"]
    assert found["mfu"][1] == pytest.approx(flops / slow / peak, abs=1e-3)


def shape(plan) -> Config:
    """The config that a plan describes."""
    from xinye.planning.network import network
    from xinye.planning.settings import PretrainSettings

    settings = PretrainSettings(heads=plan["heads"], key_value_heads=plan["key_value_heads"])
    sizes = plan["vocabulary"], plan["context"], plan["width"], plan["layers"]
    return network(settings, plan["parameters"], *sizes)


def test_the_method_follows_from_the_memory(xinye):
    alone = planned(xinye, "--size", "350M", "--gpu", "h100", "--gpus-per-host", "1")
    assert alone["method"] == "one process" and not alone["exchange_per_step_and_gpu"]
    assert alone["plan"]["steps"] * alone["plan"]["batch_size"] * 1024 >= 19.9 * 350e6
    split = planned(xinye, "--size", "13B", "--gpu", "h100")
    assert split["method"] == "FSDP2" and "activation_checkpointing" not in split["plan"]
    few = planned(xinye, "--size", "30B", "--gpu", "h100", "--hosts", "4")
    assert "with --activation-checkpointing, 8 windows fit at once" in few["warnings"][0]
    again = planned(xinye, "--size", "30B", "--gpu", "h100")
    assert again["plan"]["activation_checkpointing"] is True
    assert again["reasons"]["activation_checkpointing"] == "it does not fit otherwise"
    assert "--activation-checkpointing" in again["command"] and "--processes 8" in again["command"]
    copied = planned(xinye, "--size", "5B", "--gpu", "h100")
    assert copied["method"] == "FSDP2" and copied["reasons"]["parallel"].endswith("does not fit")


def test_a_slower_network_takes_longer_and_an_old_gpu_has_no_bf16(xinye):
    usual, slow = (
        planned(xinye, "--size", "3B", "--gpu", "a100", "--hosts", "4", *network)
        for network in ((), ("--network", "25"))
    )
    assert slow["seconds"][0] > 2 * usual["seconds"][0]
    assert slow["memory_per_gpu"] == usual["memory_per_gpu"]
    old = planned(xinye, "--size", "125M", "--gpu", "V100")
    assert old["plan"]["dtype"] == "float32" and any(
        "no bf16" in each for each in old["assumptions"]
    )


def test_known_gpus_are_listed(xinye):
    outcome = xinye("plan", "--gpu", "list")
    assert outcome.code == 0 and all(f"\n{name} " in f"\n{outcome.out}" for name in GPUS)
    assert {*json.loads(xinye("plan", "--gpu", "list", "--json").out)} == {*GPUS}


@pytest.mark.parametrize(
    "arguments, code, says",
    [
        (["--size", "70B", "--gpu", "h100"], 1, "it fits with --hosts 2 or --gpu h200"),
        (["--size", "7B", "--gpu", "rtx4090", "--hosts", "8", "--parallel", "ddp"], 1, "copy of the"),
        (["--size", "7B", "--gpu", "h10"], 2, "did you mean 'h100'?"),
        (["--size", "7B", "--gpu", "mi300"], 2, "known are a100"),
        (["--size", "7B", "--hosts", "8"], 2, "give the GPU, such as --gpu h100"),
        (["--gpu", "h100"], 2, "such as --size 1.3B"),
        (["--size", "7B", "--gpu", "h100", "--hosts", "0"], 2, "--hosts 0: give at least 1"),
        (["--size", "7B", "--gpu", "h100", "--gpus-per-host", "0"], 2, "give at least 1"),
        (["--size", "7B", "--gpu", "h100", "--hosts", "2", "--network", "nan"], 2, "above 0"),
        (["--size", "7B", "--gpu", "h100", "--network", "100"], 2, "no effect on a single host"),
        (["--size", "7B", "--gpu", "h100", "--hosts", "100"], 2, "--batch-size 800"),
        (["--size", "7B,1B", "--gpu", "h100"], 2, "is not a number"),
        (["--size", "7B", "--gpu", "h100", "--time", "1h"], 2, "unknown argument '--time'"),
        (["--size", "7B", "--gpu", "h100", "--architecture", "lstm"], 2, "not an lstm"),
        (["--size", "7B", "--gpu", "h100", "--micro-batch-size", "auto"], 2, "on paper"),
        (["--size", "100B", "--gpu", "h100"], 2, "the largest that the planner has is 77.1B"),
        (["--size", "1B", "--gpu", "h100", "--hosts", "1000000"], 2, "give at most 16,384"),
        (["--size", "1B", "--gpu", "h100", "--gpus-per-host", "100000"], 2, "give at most 128"),
        (["--size", "7B", "--gpu", "h100", "--hosts", "2", "--network", "inf"], 2, "at most 100,000"),
        (["--size", "1B", "--gpu", "h100", "--batch-size", "9" * 20], 2, "give at most 16,777,216"),
        (["--size", "1B", "--gpu", "h100", "--tokens", "1" + 20 * "0" + "B"], 2, "give at most"),
        (["--size", "1B", "--gpu", "list"], 2, "--size has no effect with --gpu list"),
        (["novel.txt", "--size", "7B", "--gpu", "h100"], 2, "unknown argument 'novel.txt'"),
    ],
)  # fmt: skip
def test_wrong_use_and_too_little_memory_are_one_line(xinye, arguments, code, says):
    outcome = xinye("plan", *arguments)
    assert outcome.code == code and says in outcome.complaint


def test_what_is_given_is_not_assumed_and_no_process_computes_more_than_its_share(xinye):
    sizes = ("--vocab-size", "65536", "--context", "1024", "--micro-batch-size", "120")
    found = planned(xinye, "--size", "125M", "--gpu", "h100", *sizes)
    assert found["plan"]["micro_batch_size"] == found["windows_at_once"] == 16
    assert "activation_checkpointing" not in found["plan"]
    assert not any("context" in each or "vocabulary" in each for each in found["assumptions"])


def test_warnings_of_few_steps_and_of_a_shape_that_is_not_of_the_size(xinye):
    few = planned(xinye, "--size", "1M", "--gpu", "h100", "--batch-size", "4000")
    assert "only 20 steps" in few["warnings"][0] and "increase --tokens" in few["warnings"][0]
    shaped = ("--layers", "4", "--width", "64")
    other = planned(xinye, "--size", "1B", "--gpu", "h100", *shaped)
    assert any("win over --size 1B" in each for each in other["warnings"])
