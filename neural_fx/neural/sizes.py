"""Open the networks of a capture, several if it is slimmable, and oversample them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_fx.engines import Engine, Stream, open_engine
from neural_fx.networks import Network, Slimmable, largest


class Sizes:
    """The networks of a capture: several if it is slimmable, else one. Engines are opened when first played.

    Args:
        network: of the capture.
        device: as for `neural_fx.engines.open_engine`.
        oversample: copies of the model that take the samples in turn.
        rate: sample rate of the model in Hz.
    """

    def __init__(self, network: Network, device: str, oversample: int = 1, rate: float = 48000.0) -> None:
        self.network = network
        self.device = device
        self.oversample = oversample
        self.rate = rate
        self.networks: tuple[Network, ...] = network.sizes if isinstance(network, Slimmable) else (network,)
        self._engines: dict[int, Engine] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the engines. They hold compiled state, and are opened again when first played."""
        return {**self.__dict__, "_engines": {}}

    def pick(self, size: float) -> int:
        """Return the index of the network that plays at a size of 0..1."""
        return self.network.pick(size) if isinstance(self.network, Slimmable) else 0

    def stream(self, index: int, batch: int) -> Stream:
        """Open streams of one network.

        Args:
            index: of the network. If it is slimmable itself, its largest size plays.
            batch: number of streams.
        """
        if index not in self._engines:
            self._engines[index] = open_engine(largest(self.networks[index]), self.device, self.rate)
        if self.oversample == 1:
            return self._engines[index].stream(batch)
        return _Copies(self._engines[index].stream(batch * self.oversample), self.oversample)


class _Copies:
    """Streams at a multiple of the model's rate. `count` copies of the model take the samples in turn."""

    def __init__(self, stream: Stream, count: int) -> None:
        self.stream = stream
        self.count = count

    def reset(self, prewarm: int, controls: NDArray[np.float32]) -> None:
        self.stream.reset(prewarm, controls)

    def process(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Process a block: (batch, in, n) to (batch, out, n), where n is a multiple of `count`."""
        batch, channels, n = x.shape
        # Sample i goes to copy i % count. The copies are further items of the batch.
        turns = x.reshape(batch, channels, n // self.count, self.count).transpose(0, 3, 1, 2)
        y = self.stream.process(np.ascontiguousarray(turns.reshape(-1, channels, n // self.count)))
        return y.reshape(batch, self.count, -1, n // self.count).transpose(0, 2, 3, 1).reshape(batch, -1, n)
