"""Run networks over streams. All engines keep one contract and return the same numbers.

- `torch` is the reference and runs every network.
- `cpu` is compiled, and fast enough for small blocks in real time.
- `batched` runs the streams of many tracks together on a GPU.

`open_engine` chooses one.
"""

from __future__ import annotations

import warnings
from typing import Protocol

from neural_fx.arrays import Array
from neural_fx.networks import Network
from neural_fx.optional import need


class Stream(Protocol):
    """Parallel streams of one network, which are processed together."""

    def reset(self, prewarm: int, controls: Array) -> None:
        """Start again, after a stretch of silence.

        Args:
            prewarm: samples of silence.
            controls: (in_channels - 1,), the knob values during the silence.
        """

    def process(self, x: Array) -> Array:
        """Process a block.

        Args:
            x: (batch, in_channels, samples) float32, the audio first, then the knobs.

        Returns:
            (batch, out_channels, samples) float32.
        """


class Engine(Protocol):
    """A network that is ready to run."""

    def stream(self, batch: int) -> Stream:
        """Open `batch` streams that are processed together. Call `Stream.reset` before the first block."""


def open_engine(network: Network, device: str = "auto", rate: float = 48000.0) -> Engine:
    """Return the engine for a network on a device.

    The devices are:

    - ``cpu``: compiled kernels. If they were not built or do not support the network, torch runs it;
    - ``cpu-fast``: the same, with tanh and sigmoid to four digits (ESR 1e-6 at most);
    - ``auto``: the same as ``cpu``. `neural_fx.placement` may choose a GPU before an engine is opened;
    - ``torch``: the reference, on the CPU;
    - a torch device such as ``cuda``: all streams run as batches;
    - ``batched``: the same batches on the CPU, for tests.

    Args:
        network: any network but a `Slimmable`.
        device: one of these.
        rate: sample rate in Hz at which the network runs. Batches take their deadlines from it.

    Raises:
        RuntimeError: the device does not exist (torch's own message).
        MissingPackageError: the device needs torch, which is not installed.
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
