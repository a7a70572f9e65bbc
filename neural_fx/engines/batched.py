"""Many streams of a network as one batch, for a GPU, where 256 of them cost little more than one.

A `Pool` holds the state of all streams of one network on one device, as tensors with the batch dimension first; streams
take a place in it and leave while the others play, each at knob positions of its own. One `Scheduler` per device
decides what runs when: it collects the blocks that are due, runs those of one network and length as one batch, and is
done by half of a block's own duration. On CUDA a step of all places is recorded once as a graph and replayed, which
spares the time of launching some 200 kernels.

`BatchedEngine` is the engine of `neural_fx.engines.open_engine` for devices other than the CPU: the same contract as
the others, so that a chain does not know that its blocks are computed together with those of other tracks and users.
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
"""Of a block's duration: when it is to be done."""
OFFLINE = 1 << 15
"""A block from this length on is no live one: it runs at once, by itself, in overlapping pieces."""
FIRST_PLACES = 8
MOST_GRAPHS = 8
"""Of a pool; further lengths of blocks run without one."""


class Pool:
    """The streams of one network on one device.

    Args:
        engine: the network on its device.
        graph: record and replay CUDA graphs; None: on CUDA.
    """

    def __init__(self, engine: TorchEngine, graph: bool | None = None) -> None:
        self.engine, self.model, self.device = engine, engine.model, engine.device
        self.lock = threading.RLock()  # a stream may be collected, and leave, in the middle of a step
        self._graphs: dict[int, _Graph] | None = None
        if self.device.type == "cuda" if graph is None else graph:
            self._graphs = {}
        self._held: dict[int, Array | None] = {}  # by place: the knobs of a network with knobs, where they rest
        self._free: list[int] = []
        self._state: State = []
        self._grow(FIRST_PLACES)

    @property
    def places(self) -> int:
        """How many streams there is memory for now; it doubles when it is full."""
        return len(self._held) + len(self._free)

    def __len__(self) -> int:
        """Streams that play."""
        return len(self._held)

    @torch.inference_mode()
    def _grow(self, count: int) -> None:
        more = [s.contiguous() for s in self.model.initial_state(count)]
        self._free = [*range(self.places, self.places + count)][::-1] + self._free
        self._state = [torch.cat(both) for both in zip(self._state, more, strict=True)] if self._state else more
        if self._graphs is not None:
            self._graphs = {}

    def join(self, prewarm: int, controls: Array) -> int:
        """A place for a new stream, settled over `prewarm` samples of silence with its knobs at `controls`."""
        warm = self.engine.warm_state(prewarm, controls)
        with self.lock:
            if not self._free:
                self._grow(self.places)
            place = self._free.pop()
            self._put(place, warm)
            return place

    def leave(self, place: int) -> None:
        """Give a place back."""
        with self.lock:
            if self._held.pop(place, self) is not self:
                self._free.append(place)

    @torch.inference_mode()
    def run(self, places: Sequence[int], x: Array) -> Array:
        """The next block of some streams, (streams, in_channels, samples) -> (streams, out_channels, samples)."""
        with self.lock:
            still = [i for i, place in enumerate(places) if self._rests(place, x[i])]
            y = np.empty((len(places), self.model.out_channels, x.shape[2]), np.float32)
            if still:
                at = [places[i] for i in still]
                y[still] = self._together(at, torch.from_numpy(np.ascontiguousarray(x[still]))).cpu().numpy()
            for i in sorted(set(range(len(places))) - set(still)):  # its weights are its own while a knob turns
                state = self._at([places[i]])
                out, state = self.model(torch.from_numpy(np.ascontiguousarray(x[i : i + 1])).to(self.device), state)
                self._put(places[i], state)
                y[i] = out[0].cpu().numpy()
        return y

    @torch.inference_mode()
    def run_alone(self, places: Sequence[int], x: Array) -> Array:
        """`run`, for a signal that is long: in overlapping pieces, without keeping the others waiting for memory."""
        with self.lock:
            state = [s.clone() for s in self._at(places)]
        y, state = self.engine.long_run(state, x)
        with self.lock:
            for i, place in enumerate(places):
                self._put(place, [s[i : i + 1] for s in state])
        return y

    # -- state -----------------------------------------------------------------------------------------------------

    def _at(self, places: Sequence[int]) -> State:
        return [s[list(places)] for s in self._state]

    @torch.inference_mode()
    def _put(self, place: int, state: State) -> None:
        for mine, new in zip(self._state, state, strict=True):
            mine[place] = new[0].to(mine.device)
        self._held[place] = self.model.rests_at(state) if isinstance(self.model, KnobbedModel) else None

    def _rests(self, place: int, x: Array) -> bool:
        """Whether the knobs are, throughout the block, where they have been."""
        if not isinstance(self.model, KnobbedModel):
            return True
        held = self._held[place]
        return held is not None and bool((x[-len(held) :] == held[:, None]).all())

    # -- a step ----------------------------------------------------------------------------------------------------

    def _step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        found: tuple[Tensor, State]
        found = self.model.steady(x, state) if isinstance(self.model, KnobbedModel) else self.model(x, state)
        return found

    def _together(self, places: Sequence[int], x: Tensor) -> Tensor:
        graphs = self._graphs
        known = graphs is not None and (x.shape[2] in graphs or len(graphs) < MOST_GRAPHS)
        if known and 2 * len(places) > self.places:
            return self._replayed(places, x)
        y, state = self._step(x.to(self.device), self._at(places))
        for mine, new in zip(self._state, state, strict=True):
            mine[list(places)] = new
        return y

    def _replayed(self, places: Sequence[int], x: Tensor) -> Tensor:
        """A step of all places by a recorded graph; those that are not named stay where they are."""
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
    """A step of all places, recorded; it reads `input`, changes the state in place, and writes `output`."""

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
            for _ in range(3):  # lets cuDNN choose its kernels before they are recorded
                step(self.input, state)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        # Other threads may allocate memory meanwhile, for streams that join: only this one must not.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.output, after = step(self.input, state)
            for mine, new in zip(state, after, strict=True):
                mine.copy_(new)
        for mine, old in zip(state, saved, strict=True):
            mine.copy_(old)

    def replay(self) -> None:
        self.graph.replay()


# -- what runs when --------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Request:
    """A block that waits to be run: whose, from where, and until when it may wait by the scheduler's clock."""

    player: object
    pool: Pool
    places: Sequence[int]
    x: Array
    start_by: float
    y: Array | None = None
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Scheduler:
    """Runs the blocks of all streams of a device, from one thread.

    A block is to be done within `SHARE` of its duration. Until it has to start for that, by what such a batch usually
    takes, the blocks of the other streams that play are waited for; when all are there, none is.

    Args:
        device: a torch device.
        clock: seconds, for tests.

    Raises:
        RuntimeError: the device is not there (torch's own message).
    """

    def __init__(self, device: str, clock: Callable[[], float] = time.monotonic) -> None:
        torch.empty(0, device=device)
        self.device, self.clock = device, clock
        self.batches, self.blocks = 0, 0
        self._usual: dict[tuple[Pool, int], float] = {}
        self._pools: dict[bytes, Pool] = {}
        self._next: dict[object, float] = {}  # until when the next block of who plays is waited for
        self._waiting: list[_Request] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name=f"neural-fx-{device}", daemon=True).start()

    def pool(self, network: Network) -> Pool:
        """The pool of a network; equal networks share one, wherever they were read from."""
        key = digest(network)
        with self._changed:
            if key not in self._pools:
                self._pools[key] = Pool(TorchEngine(network, self.device))
            return self._pools[key]

    def run(self, player: object, pool: Pool, places: Sequence[int], x: Array, rate: float) -> Array:
        """The next block of some places of a pool; returns when it is done.

        Args:
            player: whose block it is, for `forget`.
            x: (places, in_channels, samples).
            rate: of the samples, in Hz.

        Raises:
            RuntimeError: the device has failed (torch's own message).
        """
        now, duration = self.clock(), x.shape[2] / rate
        usual = self._usual.get((pool, x.shape[2]), 0.0)
        request = _Request(player, pool, places, x, now + max(0.0, SHARE * duration - 2 * usual))
        with self._changed:
            self._next[player] = now + 2 * duration
            self._waiting.append(request)
            self._changed.notify()
        request.done.wait()
        if request.error is not None:
            raise request.error
        assert request.y is not None
        return request.y

    def forget(self, player: object) -> None:
        """It has stopped playing; nobody waits for it any more."""
        with self._changed:
            self._next.pop(player, None)
            self._changed.notify()

    def _missing(self, now: float) -> bool:
        """Whether somebody who plays has not brought the next block yet."""
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
        except Exception as error:  # told to those whose blocks they are; the others go on
            for request in requests:
                request.error = error
        if len(self._usual) > 4096:  # somebody plays blocks of ever other lengths
            self._usual.clear()
        took, before = self.clock() - began, self._usual.get((pool, frames))
        self._usual[pool, frames] = took if before is None else max(took, before + 0.05 * (took - before))
        self.batches, self.blocks = self.batches + 1, self.blocks + len(requests)
        for request in requests:
            request.done.set()


class BatchedEngine:
    """A network whose streams run together with all others of the same network on the device.

    Args:
        rate: Hz at which it runs, from which a block's duration follows.

    Raises:
        RuntimeError: the device is not there (torch's own message).
    """

    def __init__(self, network: Network, device: str, rate: float = 48000.0) -> None:
        self.scheduler = scheduler(device)
        self.pool, self.rate = self.scheduler.pool(network), rate

    def stream(self, batch: int) -> BatchedStream:
        return BatchedStream(self.scheduler, self.pool, batch, self.rate)


class BatchedStream:
    """`batch` places of a pool."""

    def __init__(self, scheduler: Scheduler, pool: Pool, batch: int, rate: float) -> None:
        self.scheduler, self.pool, self.batch, self.rate = scheduler, pool, batch, rate
        self.places: list[int] = []
        self.player = object()

    def reset(self, prewarm: int, controls: Array) -> None:
        self._leave()
        self.places = [self.pool.join(prewarm, controls) for _ in range(self.batch)]

    def process(self, x: Array) -> Array:
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
    """The scheduler of a device, for the whole process.

    Raises:
        RuntimeError: the device is not there (torch's own message).
    """
    with _opening:
        if device not in _schedulers:
            _schedulers[device] = Scheduler(device)
        return _schedulers[device]
