"""Engines run a network over streams. All keep one contract and give the same numbers.

`torch` is the reference; a compiled engine for one CPU core and a batching one for a GPU stand behind the same
two protocols. An engine is asked for by `open_engine`.
"""

from __future__ import annotations

from typing import Protocol

from neural_fx.formats.network import Array, Network


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


def open_engine(network: Network, device: str = "auto") -> Engine:
    """The engine for a network.

    Args:
        device: ``auto``, ``cpu`` or a torch device such as ``cuda``. ``auto`` is the CPU.
    """
    from neural_fx.engines.torch import TorchEngine

    return TorchEngine(network, "cpu" if device == "auto" else device)
