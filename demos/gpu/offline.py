"""Measure how fast the device renders files: times real time in total, over streams and piece sizes."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time

import numpy as np
import torch
from numpy.typing import NDArray

from demos.gpu.ceilings import seconds_of
from demos.gpu.context import GATHERED, RATE, Context, Subject, guitar, inputs, subjects
from demos.gpu.traffic import TrafficCounter
from neural_fx import blocks
from neural_fx.bench import multiply_adds
from neural_fx.engines.torch import TorchEngine
from neural_fx.networks import Network, runs_in_pieces


def measure(context: Context) -> None:
    """Record the time to the first sample, the speed of every network, and its share of the device's ceilings."""
    first_sample(context)
    found = subjects(context.gathered)
    with torch.inference_mode():
        for item in found.values():
            on_the_device(context, item)
        for item in found.values():
            if streams_only(item.network):
                as_streams(context, item)
            else:
                in_pieces(context, item)


def streams_only(network: Network) -> bool:
    """Return whether a network runs sample after sample, as recurrent ones and those with knobs do."""
    return not runs_in_pieces(network)


def in_pieces(context: Context, item: Subject) -> None:
    """Record times real time of `TorchEngine.long_run`, from arrays to arrays, over streams and piece sizes."""
    engine = TorchEngine(item.network, context.device)
    grid = itertools.product((64, 256), (1 << 16, 1 << 15, 1 << 17), (1, 16))
    for at_once, piece, streams in [(2, 1 << 13, 1)] if context.short else grid:
        values = {"name": item.name, "streams": streams, "piece": piece, "pieces_at_once": at_once}
        if context.skip(5.0, **values):
            continue
        pieces = max(2, 2 * at_once // streams) + 1
        x = inputs(item, guitar(context.gathered, piece * pieces), streams)
        usual = blocks.MOST_SEGMENTS
        blocks.MOST_SEGMENTS = at_once
        try:
            context.emit(**values, **rendered(context, engine, item, x, piece))
        except torch.cuda.OutOfMemoryError:
            context.emit(**values, error="out of GPU memory")
        finally:
            blocks.MOST_SEGMENTS = usual


def as_streams(context: Context, item: Subject) -> None:
    """Record times real time of networks whose input can't be cut: many parallel streams, block by block."""
    engine = TorchEngine(item.network, context.device)
    for streams in (2,) if context.short else (16, 256, 1024):
        values = {"name": item.name, "streams": streams}
        if not context.skip(5.0, **values):
            x = inputs(item, guitar(context.gathered, 4096 if context.short else 2 * RATE), streams)
            context.emit(**values, **rendered(context, engine, item, x))


def rendered(
    context: Context, engine: TorchEngine, item: Subject, x: NDArray[np.float32], piece: int = blocks.SEGMENT
) -> dict[str, float]:
    """Return the speed of rendering after a prewarm, and the GPU memory that it used.

    Args:
        context: the running part.
        engine: engine of the network.
        item: the network.
        x: input, (streams, in_channels, samples).
        piece: samples of a piece.
    """
    warm = engine.warm_state(item.prewarm, item.controls)
    state = [s.expand(len(x), *s.shape[1:]).contiguous() for s in warm]
    seconds = seconds_of(context, lambda: engine.long_run(state, x, piece), 1 if context.short else 2)
    return {"times_real_time": round(len(x) * x.shape[2] / RATE / seconds, 2), **_memory(context)}


def on_the_device(context: Context, item: Subject) -> None:
    """Record one batch by precision, without transfers to and from the device, with its operations and traffic.

    It counts two operations per weight and sample. The traffic is the least that today's kernels read and write. A
    fused kernel would need less.
    """
    if context.skip(3.0, name=item.name, what="one batch on the device"):
        return
    engine = TorchEngine(item.network, context.device)
    streams, samples = _batch(context, item)
    x = torch.from_numpy(inputs(item, guitar(context.gathered, samples), streams)).to(context.device)
    state = engine.model.initial_state(streams)
    operations = 2 * multiply_adds(item.network) * streams * samples
    with TrafficCounter() as traffic:
        wanted, _ = engine.model(x, state)
    for precision in ("fp32", "tf32", "bf16") if context.cuda else ("fp32",):
        values = {"name": item.name, "what": "one batch on the device", "precision": precision}
        try:
            with _Precision(precision, context.device):
                seconds = seconds_of(context, lambda: engine.model(x, state), 1 if context.short else 5)
                found, _ = engine.model(x, state)
        except RuntimeError as error:
            context.emit(**values, error=str(error).splitlines()[0])
            continue
        difference = (found.double() - wanted.double()).square().sum() / wanted.double().square().sum()
        context.emit(
            **values,
            streams=streams,
            samples=samples,
            times_real_time=round(streams * samples / RATE / seconds, 2),
            tflops=round(operations / seconds / 1e12, 4),
            gb_per_s=round(traffic.moved / seconds / 1e9, 2),
            esr_to_fp32=float(difference),
        )


class _Precision:
    """Run convolutions and matrix products in another precision while the block runs."""

    def __init__(self, precision: str, device: str) -> None:
        self.tf32 = precision == "tf32"
        self.autocast = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")

    def __enter__(self) -> None:
        self.before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
        torch.backends.cudnn.allow_tf32 = self.tf32
        torch.set_float32_matmul_precision("high" if self.tf32 else "highest")
        self.autocast.__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *problem: object) -> None:
        self.autocast.__exit__(None, None, None)
        torch.backends.cudnn.allow_tf32 = self.before[0]
        torch.set_float32_matmul_precision(self.before[1])


def _batch(context: Context, item: Subject) -> tuple[int, int]:
    """Return the streams and samples of a batch that fills the device."""
    if context.short:
        return 2, 4096
    return (1024, 4096) if streams_only(item.network) else (64, 1 << 16)


def _memory(context: Context) -> dict[str, float]:
    """Return the most GPU memory used since the last call."""
    if not context.cuda:
        return {}
    most = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return {"gpu_gib": round(most / 2**30, 2)}


# -- the first sample ----------------------------------------------------------------------------------------------


def first_sample(context: Context) -> None:
    """Record the seconds from the start of a process to the first block, and to further networks' first blocks."""
    command = [sys.executable, "-m", "demos.gpu.offline", context.device, str(context.gathered)]
    began = time.time()
    done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, context.left), check=False)
    if done.returncode:
        context.emit(what="first sample", error=done.stderr[-2000:])
        return
    found = json.loads(done.stdout.splitlines()[-1])
    found["from_process_start_s"] = round(found.pop("first_block_at") - began, 3)
    context.emit(what="first sample", **found)


def _first_sample(device: str, gathered: str) -> None:
    """Print the time of this process's first block, and the seconds to open and run each network."""
    from pathlib import Path

    from demos.gpu.context import FRAMES
    from neural_fx.engines.batched import BatchedEngine

    found: dict[str, float] = {}
    for item in subjects(Path(gathered)).values():
        began = time.time()
        stream = BatchedEngine(item.network, device, RATE).stream(1)
        stream.reset(item.prewarm, item.controls)
        stream.process(np.zeros((1, item.network.in_channels, FRAMES), np.float32))
        found.setdefault("first_block_at", time.time())
        found[f"{item.name}_s"] = round(time.time() - began, 3)
    print(json.dumps(found))


if __name__ == "__main__":
    _first_sample(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else str(GATHERED))
