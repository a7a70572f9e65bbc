"""Decide which blocks of a device run together, and when: `Scheduler`, and one for each device by `scheduler`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from neural_fx import blocks
from neural_fx.arrays import Array
from neural_fx.engines.batched.pool import Pool
from neural_fx.engines.torch import TorchEngine
from neural_fx.formats.digest import digest
from neural_fx.networks import Network


@dataclass(eq=False)
class _Request:
    """A block that waits. By the scheduler's clock, it may wait until `start_by`."""

    player: object
    pool: Pool
    places: Sequence[int]
    x: Array
    start_by: float
    y: Array | None = None
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Scheduler:
    """Runs the blocks of all streams of a device, on one thread.

    The deadline of a block is `blocks.DEADLINE_FRACTION` of its duration. The scheduler knows how long such a batch
    usually takes, and so when the block must start. Until then it waits for the blocks of the other streams that play.
    It starts at once when all of them have arrived.

    Args:
        device: a torch device.
        clock: returns the time in seconds.

    Attributes:
        batches: that ran so far.
        blocks: in these batches.

    Raises:
        RuntimeError: the device does not exist (torch's own message).
    """

    def __init__(self, device: str, clock: Callable[[], float] = time.monotonic) -> None:
        torch.empty(0, device=device)
        self.device = device
        self.clock = clock
        self.batches = 0
        self.blocks = 0
        self._usual_seconds: dict[tuple[Pool, int], float] = {}  # of a batch, by pool and block length
        self._pools: dict[bytes, Pool] = {}  # by the digest of the network
        self._expected_until: dict[object, float] = {}  # by player: how long to wait for its next block
        self._waiting: list[_Request] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name=f"neural-fx-{device}", daemon=True).start()

    def pool(self, network: Network) -> Pool:
        """Return the pool of a network. Equal networks share one, even if they come from different files."""
        key = digest(network)
        with self._changed:
            if key not in self._pools:
                self._pools[key] = Pool(TorchEngine(network, self.device))
            return self._pools[key]

    def run(self, player: object, pool: Pool, places: Sequence[int], x: Array, rate: float) -> Array:
        """Process the next block of some places of a pool, and wait for the result.

        Args:
            player: identifies the caller, for `forget`.
            pool: of the network.
            places: of the streams in the pool.
            x: (places, in_channels, samples) float32.
            rate: sample rate in Hz.

        Returns:
            (places, out_channels, samples) float32.

        Raises:
            RuntimeError: the device has failed (torch's own message).
        """
        now = self.clock()
        duration = x.shape[2] / rate
        usual = self._usual_seconds.get((pool, x.shape[2]), 0.0)
        # Twice the usual time leaves room for a batch that is already running.
        spare = max(0.0, blocks.DEADLINE_FRACTION * duration - 2 * usual)
        request = _Request(player, pool, places, x, start_by=now + spare)
        with self._changed:
            # A player that sends nothing for two blocks has paused, so the others stop waiting for it.
            self._expected_until[player] = now + 2 * duration
            self._waiting.append(request)
            self._changed.notify()
        request.done.wait()
        if request.error is not None:
            raise request.error
        assert request.y is not None
        return request.y

    def forget(self, player: object) -> None:
        """Stop waiting for the blocks of a player, because it has ended."""
        with self._changed:
            self._expected_until.pop(player, None)
            self._changed.notify()

    def _expects_more(self, now: float) -> bool:
        """Return whether a player that plays has not sent its next block yet."""
        arrived = {request.player for request in self._waiting}
        return any(until > now and player not in arrived for player, until in self._expected_until.items())

    def _collect(self) -> list[_Request]:
        """Wait until blocks must start or all of them have arrived, and return them."""
        with self._changed:
            while True:
                now = self.clock()
                if self._waiting:
                    start = min(request.start_by for request in self._waiting)
                    if start <= now or not self._expects_more(now):
                        collected = self._waiting
                        self._waiting = []
                        return collected
                    self._changed.wait(start - now)
                else:
                    self._changed.wait()

    def _work(self) -> None:
        while True:
            groups: dict[tuple[Pool, int], list[_Request]] = {}
            for request in self._collect():
                groups.setdefault((request.pool, request.x.shape[2]), []).append(request)
            for (pool, frames), requests in groups.items():
                self._run_batch(pool, frames, requests)

    def _run_batch(self, pool: Pool, frames: int, requests: list[_Request]) -> None:
        """Run blocks of one pool and length, and wake the threads that wait for them."""
        began = self.clock()
        try:
            x = np.concatenate([request.x for request in requests])
            y = pool.run([place for request in requests for place in request.places], x)
            done = 0
            for request in requests:
                request.y = y[done : done + len(request.x)]
                done += len(request.x)
        except Exception as error:  # raised in the threads that wait for these blocks; other batches go on
            for request in requests:
                request.error = error
        self._learn_duration(pool, frames, self.clock() - began)
        self.batches += 1
        self.blocks += len(requests)
        for request in requests:
            request.done.set()

    def _learn_duration(self, pool: Pool, frames: int, seconds: float) -> None:
        """Update the usual time of a batch: longer times at once, to keep deadlines, and shorter ones slowly."""
        if len(self._usual_seconds) > blocks.MOST_USUAL_TIMES:
            self._usual_seconds.clear()
        before = self._usual_seconds.get((pool, frames), 0.0)
        self._usual_seconds[pool, frames] = max(seconds, before + 0.05 * (seconds - before))


_schedulers: dict[str, Scheduler] = {}
_opening = threading.Lock()


def scheduler(device: str) -> Scheduler:
    """Return the scheduler of a device, which the whole process shares.

    Raises:
        RuntimeError: the device does not exist (torch's own message).
    """
    with _opening:
        if device not in _schedulers:
            _schedulers[device] = Scheduler(device)
        return _schedulers[device]
