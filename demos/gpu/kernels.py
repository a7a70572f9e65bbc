"""Profile a live step and an offline batch to find the slowest kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from demos.gpu.context import FRAMES, Context, Subject, guitar, inputs, subjects
from neural_fx.engines.torch import TorchEngine

MOST = 12
"""Largest number of kernels in a table."""


def measure(context: Context) -> None:
    """Record the slowest kernels of A1 standard and A2 full, live and offline."""
    found = subjects(context.gathered)
    live = (4, FRAMES) if context.short else (256, FRAMES)
    offline = (2, 4096) if context.short else (64, 1 << 16)
    for name in ("A1 standard", "A2 full"):
        for what, (streams, samples) in (("live", live), ("offline", offline)):
            if not context.skip(5.0, name=name, what=what):
                context.emit(
                    name=name,
                    what=what,
                    streams=streams,
                    samples=samples,
                    **slowest(context, found[name], streams, samples),
                )


def slowest(context: Context, item: Subject, streams: int, samples: int) -> dict[str, Any]:
    """Return the time of a step and its slowest kernels: name, calls, microseconds and share of the time.

    On a CPU, the kernels are torch's operators.

    Args:
        context: the running part.
        item: the network.
        streams: streams of the batch.
        samples: samples of each stream.
    """
    engine = TorchEngine(item.network, context.device)
    x = torch.from_numpy(inputs(item, guitar(context.gathered, samples), streams)).to(context.device)
    state = engine.model.initial_state(streams)
    activities = [ProfilerActivity.CUDA if context.cuda else ProfilerActivity.CPU]
    with torch.inference_mode():
        engine.model(x, state)
        context.synchronize()
        with profile(activities=activities) as profiled:
            engine.model(x, state)
            context.synchronize()
    events = [(e.key, e.count, _own_us(e, context.cuda)) for e in profiled.key_averages()]
    total = sum(own for _, _, own in events) or 1.0
    events.sort(key=lambda event: -event[2])
    kernels = [
        {"kernel": name[:100], "calls": calls, "us": round(own, 1), "share": round(own / total, 4)}
        for name, calls, own in events[:MOST]
        if own > 0
    ]
    return {
        "total_us": round(total, 1),
        "launches": sum(count for _, count, own in events if own > 0),
        "kernels": kernels,
    }


def _own_us(event: Any, cuda: bool) -> float:
    return float(event.self_device_time_total if cuda else event.self_cpu_time_total)
