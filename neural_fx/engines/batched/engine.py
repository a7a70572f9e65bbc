"""Run the streams of a network in batches, with the contract of the other engines: `BatchedEngine`."""

from __future__ import annotations

from neural_fx import blocks
from neural_fx.arrays import Array
from neural_fx.engines.batched.pool import Pool
from neural_fx.engines.batched.scheduling import Scheduler, scheduler
from neural_fx.networks import Network


class BatchedEngine:
    """A network whose streams run together with all other streams of this network on the device.

    Args:
        network: any network but a `Slimmable`.
        device: a torch device.
        rate: sample rate in Hz, from which the duration of a block follows.

    Raises:
        RuntimeError: the device does not exist (torch's own message).
    """

    def __init__(self, network: Network, device: str, rate: float = 48000.0) -> None:
        self.scheduler = scheduler(device)
        self.pool = self.scheduler.pool(network)
        self.rate = rate

    def stream(self, batch: int) -> BatchedStream:
        """Open `batch` streams that are processed together."""
        return BatchedStream(self.scheduler, self.pool, batch, self.rate)


class BatchedStream:
    """Streams of one `BatchedEngine`, each in a place of its pool.

    Args:
        scheduler: of the device.
        pool: of the network.
        batch: number of streams.
        rate: sample rate in Hz.
    """

    def __init__(self, scheduler: Scheduler, pool: Pool, batch: int, rate: float) -> None:
        self.scheduler = scheduler
        self.pool = pool
        self.batch = batch
        self.rate = rate
        self.places: list[int] = []
        self.player = object()  # identifies these streams for the scheduler

    def reset(self, prewarm: int, controls: Array) -> None:
        """Join the pool again, after `prewarm` samples of silence with the knobs at `controls`."""
        self._leave()
        self.places = [self.pool.join(prewarm, controls) for _ in range(self.batch)]

    def process(self, x: Array) -> Array:
        """Process a block: (batch, in_channels, samples) to (batch, out_channels, samples)."""
        if x.shape[2] >= blocks.OFFLINE:
            return self.pool.run_alone(self.places, x)
        return self.scheduler.run(self.player, self.pool, self.places, x, self.rate)

    def _leave(self) -> None:
        for place in self.places:
            self.pool.leave(place)
        self.places = []

    def __del__(self) -> None:
        self._leave()
        self.scheduler.forget(self.player)
