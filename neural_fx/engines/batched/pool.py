"""Hold the streams of one network on one device, and run them as one batch: `Pool`."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from neural_fx import blocks
from neural_fx.arrays import Array
from neural_fx.engines.batched.graph import Graph
from neural_fx.engines.torch import TorchEngine
from neural_fx.networks.knobbed.model import KnobbedModel
from neural_fx.networks.model import State


class Pool:
    """The streams of one network on one device.

    Args:
        engine: the network on its device.
        graph: record and replay CUDA graphs. If None, only on CUDA devices.
    """

    def __init__(self, engine: TorchEngine, graph: bool | None = None) -> None:
        self.engine = engine
        self.model = engine.model
        self.device = engine.device
        self.lock = threading.RLock()  # garbage collection may end a stream in the middle of a step
        self._graphs: dict[int, Graph] | None = None
        if self.device.type == "cuda" if graph is None else graph:
            self._graphs = {}
        self._held: dict[int, Array | None] = {}  # by place: the knobs, while they rest
        self._free: list[int] = []
        self._state: State = []
        self._grow(blocks.FIRST_PLACES)

    @property
    def places(self) -> int:
        """Number of streams that there is memory for. It doubles when the pool is full."""
        return len(self._held) + len(self._free)

    def __len__(self) -> int:
        """Return how many streams play."""
        return len(self._held)

    @torch.inference_mode()
    def _grow(self, count: int) -> None:
        """Add memory for `count` streams. Recorded graphs refer to the old memory, so they are dropped."""
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
            resting = [i for i, place in enumerate(places) if self._knobs_rest(place, x[i])]
            y = np.empty((len(places), self.model.out_channels, x.shape[2]), np.float32)
            if resting:
                batch = torch.from_numpy(np.ascontiguousarray(x[resting]))
                y[resting] = self._run_batch([places[i] for i in resting], batch).cpu().numpy()
            # A stream whose knobs turn has weights of its own, so it runs by itself.
            for i in sorted(set(range(len(places))) - set(resting)):
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
        known = graphs is not None and (x.shape[2] in graphs or len(graphs) < blocks.MOST_GRAPHS)
        if known and 2 * len(places) > self.places:
            assert graphs is not None
            if x.shape[2] not in graphs:
                graphs[x.shape[2]] = Graph(self._step, self._state, x, self.device)
            return graphs[x.shape[2]].run(places, x)
        at = torch.tensor(places, device=self.device)  # once, because every list would be a transfer of its own
        y, state = self._step(x.to(self.device), [s[at] for s in self._state])
        for mine, new in zip(self._state, state, strict=True):
            mine[at] = new
        return y
