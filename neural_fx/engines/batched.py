"""Run many streams of a network as one batch. On a GPU, 256 of them cost little more than one.

A `Pool` holds the state of all streams of one network on one device, as tensors with the batch dimension first. Each
stream has a place in the pool and knob positions of its own. It can join and leave while the others play.

Each device has one `Scheduler`. It collects the blocks of all streams, and runs those of one network and one length as
a batch. It aims to finish within half of a block's duration.

On CUDA, a step of all places is recorded once as a graph and then replayed. This saves the time of launching some 200
kernels.

`BatchedEngine` is the engine that `neural_fx.engines.open_engine` returns for devices other than the CPU. It keeps the
same contract as the others. So a chain does not know that its blocks are computed together with those of other tracks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from neural_fx.engines.torch import TorchEngine
from neural_fx.formats.digest import digest
from neural_fx.formats.network import Array, Network
from neural_fx.models import State
from neural_fx.models.knobbed import KnobbedModel

SHARE = 0.5
"""Deadline of a block, as a fraction of its duration."""
OFFLINE = 1 << 15
"""Samples from which a block counts as offline. It runs at once, by itself, in overlapping pieces."""
FIRST_PLACES = 8
MOST_GRAPHS = 8
"""The most graphs of a pool, one per block length. Other block lengths run without a graph."""


class Pool:
    """The streams of one network on one device.

    Args:
        engine: the network on its device.
        graph: record and replay CUDA graphs. If None, only on CUDA devices.
    """

    def __init__(self, engine: TorchEngine, graph: bool | None = None) -> None:
        self.engine, self.model, self.device = engine, engine.model, engine.device
        self.lock = threading.RLock()  # garbage collection may end a stream in the middle of a step
        self._graphs: dict[int, _Graph] | None = None
        if self.device.type == "cuda" if graph is None else graph:
            self._graphs = {}
        self._held: dict[int, Array | None] = {}  # by place: the knobs, while they rest
        self._free: list[int] = []
        self._state: State = []
        self._grow(FIRST_PLACES)

    @property
    def places(self) -> int:
        """Number of streams that there is memory for. It doubles when the pool is full."""
        return len(self._held) + len(self._free)

    def __len__(self) -> int:
        """Return how many streams play."""
        return len(self._held)

    @torch.inference_mode()
    def _grow(self, count: int) -> None:
        more = [s.contiguous() for s in self.model.initial_state(count)]
        self._free = [*range(self.places, self.places + count)][::-1] + self._free
        self._state = [torch.cat(both) for both in zip(self._state, more, strict=True)] if self._state else more
        if self._graphs is not None:
            self._graphs = {}

    def join(self, prewarm: int, controls: Array) -> int:
        """Add a stream.

        Args:
            prewarm: samples of silence before its first block.
            controls: (in_channels - 1,), the knob values during the silence.

        Returns:
            Its place, for `run` and `leave`.
        """
        warm = self.engine.warm_state(prewarm, controls)
        with self.lock:
            if not self._free:
                self._grow(self.places)
            place = self._free.pop()
            self._set_state(place, warm)
            return place

    def leave(self, place: int) -> None:
        """Remove a stream, so that another one can take its place."""
        with self.lock:
            if self._held.pop(place, self) is not self:
                self._free.append(place)

    @torch.inference_mode()
    def run(self, places: Sequence[int], x: Array) -> Array:
        """Process the next block of some streams.

        Args:
            places: of the streams.
            x: (streams, in_channels, samples) float32.

        Returns:
            (streams, out_channels, samples) float32.
        """
        with self.lock:
            still = [i for i, place in enumerate(places) if self._knobs_rest(place, x[i])]
            y = np.empty((len(places), self.model.out_channels, x.shape[2]), np.float32)
            if still:
                at = [places[i] for i in still]
                y[still] = self._run_batch(at, torch.from_numpy(np.ascontiguousarray(x[still]))).cpu().numpy()
            # A stream whose knobs turn has weights of its own, so it runs by itself.
            for i in sorted(set(range(len(places))) - set(still)):
                state = self._state_at([places[i]])
                out, state = self.model(torch.from_numpy(np.ascontiguousarray(x[i : i + 1])).to(self.device), state)
                self._set_state(places[i], state)
                y[i] = out[0].cpu().numpy()
        return y

    @torch.inference_mode()
    def run_alone(self, places: Sequence[int], x: Array) -> Array:
        """Process a long signal in overlapping pieces, as `run` does for a block. Other streams do not wait for it.

        Args:
            places: of the streams.
            x: (streams, in_channels, samples) float32.

        Returns:
            (streams, out_channels, samples) float32.
        """
        with self.lock:
            state = [s.clone() for s in self._state_at(places)]
        y, state = self.engine.long_run(state, x)
        with self.lock:
            for i, place in enumerate(places):
                self._set_state(place, [s[i : i + 1] for s in state])
        return y

    # -- state -----------------------------------------------------------------------------------------------------

    def _state_at(self, places: Sequence[int]) -> State:
        return [s[list(places)] for s in self._state]

    @torch.inference_mode()
    def _set_state(self, place: int, state: State) -> None:
        for mine, new in zip(self._state, state, strict=True):
            mine[place] = new[0].to(mine.device)
        self._held[place] = self.model.rests_at(state) if isinstance(self.model, KnobbedModel) else None

    def _knobs_rest(self, place: int, x: Array) -> bool:
        """Return whether the knobs keep their values throughout a block."""
        if not isinstance(self.model, KnobbedModel):
            return True
        held = self._held[place]
        return held is not None and bool((x[-len(held) :] == held[:, None]).all())

    # -- a step ----------------------------------------------------------------------------------------------------

    def _step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        found: tuple[Tensor, State]
        found = self.model.steady(x, state) if isinstance(self.model, KnobbedModel) else self.model(x, state)
        return found

    def _run_batch(self, places: Sequence[int], x: Tensor) -> Tensor:
        graphs = self._graphs
        # A graph computes all places, so it only pays off if more than half of them have a block.
        known = graphs is not None and (x.shape[2] in graphs or len(graphs) < MOST_GRAPHS)
        if known and 2 * len(places) > self.places:
            return self._replay(places, x)
        y, state = self._step(x.to(self.device), self._state_at(places))
        for mine, new in zip(self._state, state, strict=True):
            mine[list(places)] = new
        return y

    def _replay(self, places: Sequence[int], x: Tensor) -> Tensor:
        """Run a step by a recorded graph. It computes all places, but those that are not named keep their state."""
        assert self._graphs is not None
        frames = x.shape[2]
        if frames not in self._graphs:
            self._graphs[frames] = _Graph(self._step, self._state, self.places, x, self.device)
        graph = self._graphs[frames]
        graph.input[list(places)] = x.to(self.device, non_blocking=True)
        others = sorted(set(range(self.places)) - set(places))
        kept = [s[others] for s in self._state] if others else []
        graph.replay()
        for mine, old in zip(self._state, kept, strict=False):
            mine[others] = old
        return graph.output[list(places)]


class _Graph:
    """A recorded step of all places. It reads `input`, changes the state in place, and writes `output`."""

    def __init__(
        self,
        step: Callable[[Tensor, State], tuple[Tensor, State]],
        state: State,
        places: int,
        x: Tensor,
        device: torch.device,
    ) -> None:
        self.input = torch.zeros(places, x.shape[1], x.shape[2], device=device)
        saved = [s.clone() for s in state]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # cuDNN chooses its kernels in the first calls, which must not be recorded
                step(self.input, state)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        # Other threads may allocate memory during the recording, for streams that join. Only this one must not.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.output, after = step(self.input, state)
            for mine, new in zip(state, after, strict=True):
                mine.copy_(new)
        for mine, old in zip(state, saved, strict=True):
            mine.copy_(old)

    def replay(self) -> None:
        """Run the recorded step."""
        self.graph.replay()


# -- what runs when --------------------------------------------------------------------------------------------------


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

    The deadline of a block is `SHARE` of its duration. The scheduler knows how long such a batch usually takes, and so
    when the block must start. Until then it waits for the blocks of the other streams that play. It starts at once when
    all of them have arrived.

    Args:
        device: a torch device.
        clock: returns the time in seconds.

    Raises:
        RuntimeError: the device does not exist (torch's own message).
    """

    def __init__(self, device: str, clock: Callable[[], float] = time.monotonic) -> None:
        torch.empty(0, device=device)
        self.device, self.clock = device, clock
        self.batches, self.blocks = 0, 0
        self._usual: dict[tuple[Pool, int], float] = {}
        self._pools: dict[bytes, Pool] = {}
        self._next: dict[object, float] = {}  # by player: how long to wait for its next block
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
        now, duration = self.clock(), x.shape[2] / rate
        usual = self._usual.get((pool, x.shape[2]), 0.0)
        # Twice the usual time leaves room for a batch that is already running.
        request = _Request(player, pool, places, x, now + max(0.0, SHARE * duration - 2 * usual))
        with self._changed:
            # A player that sends nothing for two blocks has paused, so the others stop waiting for it.
            self._next[player] = now + 2 * duration
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
            self._next.pop(player, None)
            self._changed.notify()

    def _missing(self, now: float) -> bool:
        """Return whether a player has not sent its next block yet."""
        here = {request.player for request in self._waiting}
        return any(until > now and player not in here for player, until in self._next.items())

    def _collect(self) -> list[_Request]:
        with self._changed:
            while True:
                now = self.clock()
                if self._waiting:
                    start = min(request.start_by for request in self._waiting)
                    if start <= now or not self._missing(now):
                        found, self._waiting = self._waiting, []
                        return found
                    self._changed.wait(start - now)
                else:
                    self._changed.wait()

    def _work(self) -> None:
        while True:
            groups: dict[tuple[Pool, int], list[_Request]] = {}
            for request in self._collect():
                groups.setdefault((request.pool, request.x.shape[2]), []).append(request)
            for key, requests in groups.items():
                self._serve(*key, requests)

    def _serve(self, pool: Pool, frames: int, requests: list[_Request]) -> None:
        began = self.clock()
        try:
            x = np.concatenate([request.x for request in requests])
            y = pool.run([place for request in requests for place in request.places], x)
            for request in requests:
                request.y, y = y[: len(request.x)], y[len(request.x) :]
        except Exception as error:  # raised in the threads that wait for these blocks; other batches go on
            for request in requests:
                request.error = error
        if len(self._usual) > 4096:  # a player keeps changing the length of its blocks
            self._usual.clear()
        # The usual time follows longer times at once and shorter ones slowly, so that deadlines are kept.
        took, before = self.clock() - began, self._usual.get((pool, frames))
        self._usual[pool, frames] = took if before is None else max(took, before + 0.05 * (took - before))
        self.batches, self.blocks = self.batches + 1, self.blocks + len(requests)
        for request in requests:
            request.done.set()


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
        self.pool, self.rate = self.scheduler.pool(network), rate

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
        self.scheduler, self.pool, self.batch, self.rate = scheduler, pool, batch, rate
        self.places: list[int] = []
        self.player = object()

    def reset(self, prewarm: int, controls: Array) -> None:
        """Join the pool again, after `prewarm` samples of silence with the knobs at `controls`."""
        self._leave()
        self.places = [self.pool.join(prewarm, controls) for _ in range(self.batch)]

    def process(self, x: Array) -> Array:
        """Process a block: (batch, in_channels, samples) to (batch, out_channels, samples)."""
        if x.shape[2] >= OFFLINE:
            return self.pool.run_alone(self.places, x)
        return self.scheduler.run(self.player, self.pool, self.places, x, self.rate)

    def _leave(self) -> None:
        for place in self.places:
            self.pool.leave(place)
        self.places = []

    def __del__(self) -> None:
        self._leave()
        self.scheduler.forget(self.player)


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
