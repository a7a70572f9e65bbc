"""Engines run a network over streams. All keep one contract and give the same numbers.

`torch` is the reference and runs everything; `cpu` is compiled, and fast enough for small blocks in real time;
`batched` runs the streams of many tracks together, on a GPU. An engine is asked for by `open_engine`.
"""

from __future__ import annotations

import warnings
from typing import Protocol

from neural_fx.formats.network import Array, Network
from neural_fx.optional import need


class Stream(Protocol):
    """`batch` parallel streams of one network."""

    def reset(self, prewarm: int, controls: Array) -> None:
        """Start anew, after `prewarm` samples of silence.

        Args:
            controls: (in_channels - 1,) the knob values during that silence.
        """

    def process(self, x: Array) -> Array:
        """A block: (batch, in_channels, samples) -> (batch, out_channels, samples), float32."""


class Engine(Protocol):
    """A network ready to run."""

    def stream(self, batch: int) -> Stream:
        """New streams that run together; call `Stream.reset` before the first block."""


def open_engine(network: Network, device: str = "auto", rate: float = 48000.0) -> Engine:
    """The engine for a network.

    Args:
        device: ``auto``, ``cpu``, ``torch`` (the reference, on the CPU) or a torch device such as ``cuda``, whose
            streams run as batches (``batched``: the same on the CPU, to try it). ``auto`` and ``cpu`` take the
            compiled kernels if they were built and know the network, else torch; ``cpu-fast`` lets them take tanh and
            sigmoid to four digits (ESR 1e-6 at most). Which device ``auto`` is, is decided where streams are known
            (`neural_fx.placement`).
        rate: Hz at which it runs; tells the batches by when they have to be done.

    Raises:
        RuntimeError: the device is not there (torch's own message).
        MissingPackageError: it takes torch, which is not installed.
    """
    from neural_fx.engines import cpu

    if device in ("auto", "cpu", "cpu-fast"):
        if cpu.supports(network):
            return cpu.CpuEngine(network, fast=device == "cpu-fast")
        if cpu.available():
            need("torch", "this model has parts that the compiled engine cannot run, so it")
        else:
            need("torch", "the compiled engine was not built when neural-fx was installed (no C++ compiler?), so this")
            warnings.warn(_NOT_COMPILED, stacklevel=2)
    else:
        need("torch", f"device {device}")
    if device in ("auto", "cpu", "cpu-fast", "torch"):
        from neural_fx.engines.torch import TorchEngine

        return TorchEngine(network, "cpu")
    from neural_fx.engines.batched import BatchedEngine

    return BatchedEngine(network, "cpu" if device == "batched" else device, rate)


_NOT_COMPILED = (
    "the compiled engine was not built when neural-fx was installed (no C++ compiler?); torch runs the models, at a "
    "fraction of the speed in small blocks"
)
