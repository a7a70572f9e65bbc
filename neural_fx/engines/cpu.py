"""Run networks in compiled kernels, on one CPU core, in real time.

`supports` tells which networks the kernels run. The torch engine runs the others.

The output equals that of the torch reference, but for rounding:

- tanh is a rational function, or a table of polynomials in recurrent networks, within 4e-7;
- on processors with matrix units for bfloat16 (AMX), WaveNets that run faster there use them. Each factor then has 17
  bits, and the ESR is 1e-9 at most.

The kernels flush denormals, and restore the caller's mode.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

import numpy as np

from neural_fx.arrays import Array
from neural_fx.native import core as core
from neural_fx.networks import Batch, Network, kind_of

if TYPE_CHECKING:
    from neural_fx.native import _core

KNOWN_SETS = ("amx", "avx512", "avx2", "sse2", "generic")
_limit = os.environ.get("NEURAL_FX_INSTRUCTION_SET", "")
if _limit and _limit not in KNOWN_SETS:
    warnings.warn(f"NEURAL_FX_INSTRUCTION_SET={_limit}: ignored; expected one of {', '.join(KNOWN_SETS)}", stacklevel=2)


def available() -> bool:
    """Return whether the compiled kernels were built for this installation."""
    return core is not None


def instruction_set() -> str:
    """Return the instruction set that the kernels use here: ``amx``, ``avx512``, ``avx2``, ``sse2`` or ``generic``."""
    return str(core.instruction_set())


def instruction_sets() -> list[str]:
    """Return the instruction sets that the kernels can use on this machine, the best first.

    The environment variable NEURAL_FX_INSTRUCTION_SET names the best one that may be used. It is read once.
    """
    return list(core.instruction_sets()) if core is not None else []


def supports(network: Network) -> bool:
    """Return whether compiled kernels run a network.

    Our own kernels run:

    - WaveNets, if their condition is the input or another WaveNet;
    - chains of convolutions, activations and scalings;
    - LSTM or GRU layers with one linear output.

    They do not run softmax, ELU, or recurrent layers mixed with other stages. A kind of network of another package may
    have kernels of its own.
    """
    if core is None:
        return False
    binding = kind_of(network).binding
    return binding is not None and binding.supports(network)


def fma_peak() -> float:
    """Measure for about 20 ms how many GFLOP/s of fused multiply-adds one core reaches."""
    return float(core.fma_peak())


class CpuEngine:
    """A network in the compiled kernels.

    Args:
        network: one that `supports` accepts.
        instruction_set: one of `instruction_sets`, for tests; ``""`` for the best that the machine has.
        fast: compute tanh and sigmoid to about four digits (ESR 1e-6 at most), in fewer operations.
    """

    def __init__(self, network: Network, instruction_set: str = "", fast: bool = False) -> None:
        self.instruction_set = instruction_set
        self.in_channels, self.out_channels = network.in_channels, network.out_channels
        binding = kind_of(network).binding
        assert binding is not None
        self.net = binding.compile(network, fast)

    def stream(self, batch: int) -> CpuStream:
        """Open `batch` streams that are processed in one call."""
        return CpuStream(self, batch)


class CpuStream:
    """Streams of one `CpuEngine`.

    Args:
        engine: the network.
        batch: number of streams.
    """

    def __init__(self, engine: CpuEngine, batch: int) -> None:
        self._out_channels = engine.out_channels
        self._in_channels, self._batch = engine.in_channels, batch
        self._native: Batch = engine.net.batch(batch, engine.instruction_set)

    @property
    def kernels(self) -> _core.Batch:
        """The streams in our own kernels, for the native loop: one stream for each channel."""
        assert isinstance(self._native, core.Batch)
        return self._native

    @property
    def is_native(self) -> bool:
        """Whether our own kernels run the network, so that the native loop can."""
        return isinstance(self._native, core.Batch)

    def reset(self, prewarm: int, controls: Array) -> None:
        """Start again, after `prewarm` samples of silence with the knobs at `controls`."""
        self._native.reset()
        if prewarm:
            silence = np.zeros((self._batch, self._in_channels, prewarm), np.float32)
            silence[:, 1:] = controls[:, None]
            self.process(silence)

    @property
    def allocations(self) -> int | None:
        """Number of C++ allocations in `process` so far. Only tests count them; for others it is None."""
        return self._native.allocations

    def process(self, x: Array) -> Array:
        """Process a block: (batch, in_channels, samples) to (batch, out_channels, samples)."""
        x = np.ascontiguousarray(x, np.float32)
        y = np.empty((x.shape[0], self._out_channels, x.shape[2]), np.float32)
        self._native.process(x, y)
        return y
