"""Measure the same networks on one CPU core with the compiled engine, for comparison with the GPU."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from demos.gpu.context import FRAMES, PERIOD, RATE, Context, Subject, guitar, inputs, percentiles, subjects
from neural_fx.engines import cpu, open_engine


def measure(context: Context) -> None:
    """Record times real time of one stream, in live blocks and in one call, on one core."""
    for item in subjects(context.gathered).values():
        if not context.skip(4.0, name=item.name):
            with pinned():
                on_one_core(context, item)


def on_one_core(context: Context, item: Subject) -> None:
    """Record the speed of one network."""
    compiled = cpu.supports(item.network)
    audio = guitar(context.gathered, RATE // 8 if context.short else 4 * RATE)
    x = inputs(item, audio[: len(audio) // FRAMES * FRAMES], 1)
    stream = open_engine(item.network, "cpu", RATE).stream(1)
    stream.reset(item.prewarm, item.controls)
    taken = []
    for start in range(0, x.shape[2], FRAMES):
        began = time.perf_counter()
        stream.process(x[:, :, start : start + FRAMES])
        taken.append(time.perf_counter() - began)
    began = time.perf_counter()
    stream.process(x)
    whole = time.perf_counter() - began
    context.emit(
        name=item.name,
        engine=f"compiled, {cpu.instruction_set()}" if compiled else "torch",
        **percentiles(taken),
        live_times_real_time=round(len(taken) * PERIOD / sum(taken), 2),
        times_real_time=round(x.shape[2] / RATE / whole, 2),
    )


@contextmanager
def pinned() -> Iterator[None]:
    """Keep this thread on one core, and torch on one thread, while the block runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if cores:
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if cores:
            os.sched_setaffinity(0, cores)
