"""Measure the limits of the device: matrix products by precision, and copies within its memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from demos.gpu.context import Context

REPEATS = 10


def measure(context: Context) -> None:
    """Record TFLOP/s of large matrix products (fp32, tf32, bf16) and GB/s of a copy, read plus written."""
    size = 512 if context.short else 8192
    for precision in ("fp32", "tf32", "bf16") if context.cuda else ("fp32",):
        context.emit(what="matrix product", precision=precision, size=size, tflops=_product(context, precision, size))
    megabytes = 16 if context.short else 2048
    context.emit(what="copy", megabytes=megabytes, gb_per_s=_copy(context, megabytes))


def seconds_of(context: Context, run: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median seconds of a run on the device, after one warm-up run.

    Args:
        context: the running part.
        run: work to measure.
        repeats: number of measured runs.
    """
    run()
    taken = []
    for _ in range(repeats):
        context.synchronize()
        began = time.perf_counter()
        run()
        context.synchronize()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _product(context: Context, precision: str, size: int) -> float:
    """Return TFLOP/s on random numbers: zeros would run faster than real data."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    generator = torch.Generator(context.device).manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator, device=context.device).to(kind) for _ in range(2))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        seconds = seconds_of(context, lambda: a @ b)
    finally:
        torch.set_float32_matmul_precision(before)
    return round(2 * size**3 / seconds / 1e12, 3)


def _copy(context: Context, megabytes: int) -> float:
    source = torch.ones(megabytes << 18, device=context.device)
    target = torch.empty_like(source)
    seconds = seconds_of(context, lambda: target.copy_(source))
    return round(2 * source.numel() * 4 / seconds / 1e9, 1)
