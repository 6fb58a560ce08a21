"""How fast a model writes on this machine: random prompts, several at once, and what of the machine that takes."""

import time
from collections.abc import Sequence as Several
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.generation.engine import Engine
from xinye.generation.sampling import Sampling
from xinye.generation.sequence import Sequence
from xinye.jobs.doctor import Speed, measured
from xinye.model.build import LanguageModel
from xinye.model.gpt import GPT
from xinye.watcher import Watcher


@dataclass(frozen=True)
class Row:
    """So many texts at once. Seconds, tokens and shares of 1 are plain numbers."""

    concurrency: int
    seconds: float
    prompt_tokens_per_second: float  # until each text has its first token
    tokens_per_second: float  # from then on
    first_token_p50: float
    first_token_p99: float
    between_tokens_p50: float
    between_tokens_p99: float
    memory_share: float | None  # of the speed at which this machine reads memory, while writing
    matrix_share: float | None  # of its speed in matrix products, while reading prompts
    cache_tokens: int  # taken at most
    cache_total: int


@dataclass(frozen=True)
class Benchmark:
    model: str
    parameters: int
    weight_bytes: int
    dtype: str
    prompt_tokens: int
    output_tokens: int
    threads: int
    memory_bytes_per_second: float
    matrix_flops_per_second: float | None
    rows: list[Row]


def bench(
    name: str,
    model: LanguageModel,
    tokenizer: Tokenizer,
    concurrency: Several[int],
    prompt_tokens: int,
    output_tokens: int,
    watcher: Watcher,
) -> Benchmark:
    """Write `output_tokens` behind random prompts, greedily and without guesses; no token ends a text.

    Raises `XinyeError` where a text does not fit in the context.
    """
    context = model.config.max_position_embeddings
    if prompt_tokens + output_tokens > context:
        raise XinyeError(
            f"{prompt_tokens} tokens of prompt and {output_tokens} of output are more than the context of {context}: "
            f"give smaller --prompt-tokens or --output-tokens"
        )
    speed = measured(model.device, False, watcher)
    dtype = str(model.compute_dtype).removeprefix("torch.")
    random = np.random.default_rng(0)
    rows = []
    run(model, tokenizer, random, 1, min(prompt_tokens, 8), 2, speed)  # what is done only once
    for count in concurrency:
        watcher.stage(f"writing {count} text{'s' * (count > 1)} at once")
        rows.append(run(model, tokenizer, random, count, prompt_tokens, output_tokens, speed))
    return Benchmark(
        model=name,
        parameters=model.config.parameters,
        weight_bytes=weight_bytes(model),
        dtype=dtype,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        threads=torch.get_num_threads(),
        memory_bytes_per_second=speed.memory_bytes_per_second,
        matrix_flops_per_second=speed.matrix_flops_per_second.get(dtype),
        rows=rows,
    )


def run(
    model: LanguageModel,
    tokenizer: Tokenizer,
    random: np.random.Generator,
    count: int,
    prompt_tokens: int,
    output_tokens: int,
    speed: Speed,
) -> Row:
    """So many texts, all asked for at the same moment."""
    engine = Engine(model, tokenizer, max_running=count)
    sampling = Sampling(temperature=0, max_tokens=output_tokens)
    prompts = random.integers(tokenizer.vocab_size, size=(count, prompt_tokens)).tolist()
    sequences = [Sequence(prompt, prompt_tokens, sampling) for prompt in prompts]
    for sequence in sequences:
        engine.add(sequence)
        sequence.ends = frozenset()
    begin = time.perf_counter()
    times: dict[Sequence, list[float]] = {sequence: [] for sequence in sequences}
    most = steps = 0  # steps that only write
    writing = 0.0  # seconds of these
    while engine.busy:
        reading = any(not times[sequence] for sequence in sequences)
        before = time.perf_counter()
        most = max(most, engine.cache.used)
        engine.step()
        now = time.perf_counter()
        for sequence in sequences:
            if sequence.completion_tokens > len(times[sequence]):
                times[sequence].append(now)
        if not reading:
            steps, writing = steps + 1, writing + now - before
    firsts = [each[0] - begin for each in times.values()]
    gaps = [after - before for each in times.values() for before, after in pairwise(each)]
    last = max(firsts)
    while_reading = sum(sum(moment <= begin + last for moment in each) for each in times.values())
    between = np.quantile(gaps, [0.5, 0.99]).tolist() if gaps else [0.0, 0.0]
    flops = speed.matrix_flops_per_second.get(str(model.compute_dtype).removeprefix("torch."))
    read = steps * (
        weight_bytes(model) + count * cache_bytes(model, prompt_tokens + output_tokens // 2)
    )
    return Row(
        concurrency=count,
        seconds=now - begin,
        prompt_tokens_per_second=count * prompt_tokens / last,
        tokens_per_second=(count * output_tokens - while_reading) / writing if writing else 0.0,
        first_token_p50=float(np.quantile(firsts, 0.5)),
        first_token_p99=float(np.quantile(firsts, 0.99)),
        between_tokens_p50=between[0],
        between_tokens_p99=between[1],
        memory_share=read / writing / speed.memory_bytes_per_second if writing else None,
        matrix_share=2 * model.config.matrix_parameters * count * prompt_tokens / last / flops
        if flops
        else None,
        cache_tokens=most,
        cache_total=engine.cache.total,
    )


def weight_bytes(model: LanguageModel) -> int:
    """What a step reads of the weights: all but an embedding that is no head, of which it reads single rows."""

    def size(module: torch.nn.Module) -> int:
        return sum(each.nbytes for each in (*module.parameters(), *module.buffers()))

    return size(model) - (0 if model.config.tie_word_embeddings else size(model.model.embed_tokens))


def cache_bytes(model: LanguageModel, length: int) -> int:
    """What a step reads of the keys and values of a text."""
    return (
        length * model.config.cache_bytes_per_token(model.compute_dtype.itemsize)
        if isinstance(model, GPT)
        else 0
    )
