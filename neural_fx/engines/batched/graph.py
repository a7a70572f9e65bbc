"""Record a step of all streams as a CUDA graph: `Graph`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from neural_fx.networks.model import State


class Graph:
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
