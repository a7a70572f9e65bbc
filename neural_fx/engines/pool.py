"""Many streams of one network as one batch: they join and leave while the others play.

For a GPU, where a batch of 256 costs little more than one stream. A pool has a fixed number of places; a stream takes
one, and every call computes the next block of all of them at once. On CUDA the call is recorded once as a graph and
replayed, which spares the time of launching some 200 kernels.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from torch import Tensor

from neural_fx.engines.torch import TorchEngine, run
from neural_fx.formats.network import Array, Knobbed, is_recurrent


class Pool:
    """Places for streams of one network that advance together, a block of `frames` at a time.

    Args:
        engine: the network on its device.
        places: how many streams there can be.
        frames: of every block.
        graph: record and replay a CUDA graph; None: on CUDA.

    Raises:
        ValueError: the network's weights follow knobs, so that its streams are not one network; fold it first.
    """

    def __init__(self, engine: TorchEngine, places: int, frames: int, graph: bool | None = None) -> None:
        if isinstance(engine.network, Knobbed):
            raise ValueError("a pool runs one network; fold its knobs (neural_fx.formats.knobbed.fold) first")
        self.engine, self.places, self.frames = engine, places, frames
        self.model, self.device = engine.model, engine.device
        self.lock = threading.Lock()
        self._free = list(range(places))[::-1]
        with torch.inference_mode():
            self._state = [s.contiguous() for s in self.model.initial_state(places)]
            self._input = torch.zeros(places, self.model.in_channels, frames, device=self.device)
        self._output: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._recorded = self.device.type == "cuda" if graph is None else graph

    def __len__(self) -> int:
        """Streams that play."""
        return self.places - len(self._free)

    @torch.inference_mode()
    def join(self, prewarm: int, controls: Array) -> int:
        """A place for a new stream, settled over `prewarm` samples of silence with its knobs at `controls`.

        Raises:
            RuntimeError: all places are taken.
        """
        warm = self.engine.warm_state(prewarm, controls)
        with self.lock:
            if not self._free:
                raise RuntimeError(f"all {self.places} places of the pool are taken")
            place = self._free.pop()
            for mine, fresh in zip(self._state, warm, strict=True):
                mine[place] = fresh[0].to(mine.device)
            self._input[place] = 0
            return place

    def leave(self, place: int) -> None:
        """Give a place back."""
        with self.lock:
            if place not in self._free:
                self._free.append(place)

    @torch.inference_mode()
    def process(self, blocks: dict[int, Array]) -> dict[int, Array]:
        """The next block of some streams: place to (in_channels, frames) -> place to (out_channels, frames).

        Streams that are not named stay where they are.
        """
        if not blocks:
            return {}
        with self.lock:
            places = sorted(blocks)
            staged = torch.from_numpy(np.stack([np.asarray(blocks[p], np.float32) for p in places]))
            self._input[places] = staged.to(self.device)
            kept = [p for p in range(self.places) if p not in blocks]
            before = [s[kept].clone() for s in self._state] if kept else []
            output = self._run()
            for state, old in zip(self._state, before, strict=False):
                state[kept] = old
            found = output[places].cpu().numpy()
        return {place: found[i] for i, place in enumerate(places)}

    def _run(self) -> Tensor:
        """One step of all places, in place."""
        if not self._recorded:
            output: Tensor
            output, after = self.model(self._input, self._state)
            for mine, new in zip(self._state, after, strict=True):
                mine.copy_(new)
            return output
        if self._graph is None:
            self._record()
        assert self._graph is not None
        assert self._output is not None
        self._graph.replay()
        return self._output

    def _record(self) -> None:
        """Record one step as a CUDA graph, leaving the state as it was."""
        saved = [s.clone() for s in self._state]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # lets cuDNN choose its kernels before they are recorded
                self.model(self._input, self._state)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._output, after = self.model(self._input, self._state)
            for mine, new in zip(self._state, after, strict=True):
                mine.copy_(new)
        for mine, old in zip(self._state, saved, strict=True):
            mine.copy_(old)
        self._graph = graph


@torch.inference_mode()
def run_offline(engine: TorchEngine, x: Array, prewarm: int, controls: Array, segment: int = 1 << 16) -> Array:
    """A whole signal, cut into segments that overlap by the receptive field and run as one batch.

    Equal to a stream, but for rounding, for networks without recurrent layers; for those it is a stream.

    Args:
        x: (in_channels, samples).
        prewarm, controls: as for `Stream.reset`.
        segment: samples that each item of the batch puts out.

    Returns:
        (out_channels, samples).
    """
    past = engine.network.receptive_field - 1
    if is_recurrent(engine.network) or x.shape[1] <= segment or past >= segment:
        state = [s.clone() for s in engine.warm_state(prewarm, controls)]
        streamed: Array = run(engine.model, state, x[None], engine.device)[0][0]
        return streamed
    silence = np.zeros((x.shape[0], past), np.float32)
    silence[1:] = controls[:, None]
    count = -(-x.shape[1] // segment)
    padding = np.zeros((x.shape[0], count * segment - x.shape[1]), np.float32)
    padded = np.concatenate((silence, x, padding), 1)
    windows = np.stack([padded[:, i * segment : (i + 1) * segment + past] for i in range(count)])
    y, _ = engine.model(torch.from_numpy(windows).to(engine.device), engine.model.initial_state(count))
    whole: Array = np.concatenate(list(y[:, :, past:].cpu().numpy()), 1)[:, : x.shape[1]]
    return whole
