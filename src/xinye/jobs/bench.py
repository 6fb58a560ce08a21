"""Measures how fast a model writes on this machine, with several random prompts at once, and how
much of the machine's speed it uses.
"""

import time
from collections.abc import Sequence as Several
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, plural
from xinye.generation.engine import Engine
from xinye.generation.sampling import Sampling
from xinye.generation.sequence import Sequence
from xinye.jobs.doctor import Speed, measured
from xinye.model.build import LanguageModel
from xinye.model.gpt import GPT
from xinye.observer import Observer


@dataclass(frozen=True)
class Timing:
    """The measurements for one number of concurrent texts. Units are seconds, tokens, and shares
    from 0 to 1.
    """

    concurrency: int
    seconds: float
    prompt_tokens_per_second: float  # until every text has its first token
    tokens_per_second: float  # after that
    first_token_p50: float
    first_token_p99: float
    between_tokens_p50: float
    between_tokens_p99: float
    memory_share: float | None  # share of the machine's memory bandwidth while writing
    matrix_share: float | None  # share of its matrix speed while reading prompts
    cache_tokens: int  # most tokens in the KV cache at one time
    cache_total: int


@dataclass(frozen=True)
class Benchmark:
    """The measurements of one model. `rows` has one entry for each number of concurrent texts."""

    model: str
    parameters: int
    weight_bytes: int
    dtype: str
    prompt_tokens: int
    output_tokens: int
    threads: int
    memory_bytes_per_second: float
    matrix_flops_per_second: float | None
    rows: list[Timing]


@dataclass(frozen=True)
class Bench:
    """A benchmark: the model, and the lengths of prompts and outputs in tokens.

    Prompts are random, decoding is greedy without speculation, and no token ends a text. Raises
    `XinyeError` if a text does not fit in the context.
    """

    model: LanguageModel
    tokenizer: Tokenizer
    prompt_tokens: int
    output_tokens: int

    def __post_init__(self) -> None:
        context = self.model.config.max_position_embeddings
        if self.prompt_tokens + self.output_tokens > context:
            raise XinyeError(
                f"{self.prompt_tokens} prompt tokens and {self.output_tokens} output tokens are "
                f"more than the context of {context}; give smaller --prompt-tokens or "
                "--output-tokens"
            )

    @property
    def dtype(self) -> str:
        """The name of the dtype in which the model computes."""
        return str(self.model.compute_dtype).removeprefix("torch.")

    def run(self, name: str, concurrency: Several[int], observer: Observer) -> Benchmark:
        """The measurements for each number of concurrent texts."""
        speed = measured(self.model.device, False, observer)
        random = np.random.default_rng(0)
        # Warm up, so that one-time work is not measured.
        replace(self, prompt_tokens=min(self.prompt_tokens, 8), output_tokens=2).row(
            1, random, speed
        )
        rows = []
        for count in concurrency:
            observer.stage(f"writing {plural(count, 'text')} at once")
            rows.append(self.row(count, random, speed))
        return Benchmark(
            model=name,
            parameters=self.model.config.parameters,
            weight_bytes=weight_bytes(self.model),
            dtype=self.dtype,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
            threads=torch.get_num_threads(),
            memory_bytes_per_second=speed.memory_bytes_per_second,
            matrix_flops_per_second=speed.matrix_flops_per_second.get(self.dtype),
            rows=rows,
        )

    def row(self, count: int, random: np.random.Generator, speed: Speed) -> Timing:
        """The measurement for `count` texts that start at the same moment."""
        model, prompt_tokens, output_tokens = self.model, self.prompt_tokens, self.output_tokens
        engine = Engine(model, self.tokenizer, max_running=count)
        sampling = Sampling(temperature=0, max_tokens=output_tokens)
        prompts = random.integers(self.tokenizer.vocab_size, size=(count, prompt_tokens)).tolist()
        times: dict[Sequence, list[float]] = {
            Sequence(prompt, prompt_tokens, sampling): [] for prompt in prompts
        }
        for sequence in times:
            engine.add(sequence)
            sequence.ends = frozenset()
        begin = now = time.perf_counter()
        most, writing = 0, []  # `writing` holds the seconds of each step that reads no prompts.
        while engine.busy:
            reading = not all(times.values())
            before = time.perf_counter()
            most = max(most, engine.cache.used)
            engine.step()
            now = time.perf_counter()
            for sequence, moments in times.items():
                if sequence.completion_tokens > len(moments):
                    moments.append(now)
            if not reading:
                writing.append(now - before)
        firsts = [each[0] - begin for each in times.values()]
        gaps = [after - before for each in times.values() for before, after in pairwise(each)]
        first_low, first_high = np.quantile(firsts, (0.5, 0.99)).tolist()
        gap_low, gap_high = np.quantile(gaps or [0.0], (0.5, 0.99)).tolist()
        last = max(firsts)
        while_reading = sum(moment <= begin + last for each in times.values() for moment in each)
        flops = speed.matrix_flops_per_second.get(self.dtype)
        read = weight_bytes(model)  # bytes that one step reads
        if isinstance(model, GPT):
            per_token = model.config.cache_bytes_per_token(model.compute_dtype.itemsize)
            read += count * (prompt_tokens + output_tokens // 2) * per_token
        return Timing(
            concurrency=count,
            seconds=now - begin,
            prompt_tokens_per_second=count * prompt_tokens / last,
            tokens_per_second=(count * output_tokens - while_reading) / sum(writing)
            if writing
            else 0.0,
            first_token_p50=first_low,
            first_token_p99=first_high,
            between_tokens_p50=gap_low,
            between_tokens_p99=gap_high,
            memory_share=len(writing) * read / sum(writing) / speed.memory_bytes_per_second
            if writing
            else None,
            matrix_share=2 * model.config.matrix_parameters * count * prompt_tokens / last / flops
            if flops
            else None,
            cache_tokens=most,
            cache_total=engine.cache.total,
        )


def weight_bytes(model: LanguageModel) -> int:
    """The bytes of weights that a step reads: all of them, except an embedding that is not also the
    output layer, of which it reads only single rows.
    """

    def size(module: torch.nn.Module) -> int:
        return sum(each.nbytes for each in (*module.parameters(), *module.buffers()))

    return size(model) - (0 if model.config.tie_word_embeddings else size(model.model.embed_tokens))
