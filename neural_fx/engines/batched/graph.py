"""Record a step of all streams as a CUDA graph: `Graph`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from neural_fx.networks.model import State


class Graph:
    """A recorded step of all places, which only changes the state of those that have a block.

    A transfer to or from the GPU takes longer than the step of a small network. So a step needs three of them, whatever
    the number of streams: the blocks, the places that have one, and the output.

    Args:
        step: the network: input and state to output and next state. Dimension 0 of all of them are the places.
        state: of all places. The graph changes it in place.
        x: a block, for its channels and samples, (streams, in_channels, samples).
        device: of the state.
    """

    def __init__(
        self,
        step: Callable[[Tensor, State], tuple[Tensor, State]],
        state: State,
        x: Tensor,
        device: torch.device,
    ) -> None:
        places = len(state[0])
        # Only pinned memory can be transferred without a copy by the driver.
        self._blocks = torch.zeros(places, x.shape[1], x.shape[2], pin_memory=True)
        self._playing = torch.zeros(places, dtype=torch.bool, pin_memory=True)
        self._input = self._blocks.to(device)
        self._mask = self._playing.to(device)
        saved = [s.clone() for s in state]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # cuDNN chooses its kernels in the first calls, which must not be recorded
                step(self._input, state)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads may allocate memory during the recording, for streams that join. Only this one must not.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._output, after = step(self._input, state)
            for mine, new in zip(state, after, strict=True):
                mine.copy_(chosen(self._mask, new, mine))
        for mine, old in zip(state, saved, strict=True):
            mine.copy_(old)
        self._results = torch.empty(self._output.shape, pin_memory=True)

    def run(self, places: Sequence[int], x: Tensor) -> Tensor:
        """Run the recorded step.

        Args:
            places: that have a block.
            x: their blocks, in CPU memory, (streams, in_channels, samples).

        Returns:
            Their output, in CPU memory, (streams, out_channels, samples).
        """
        indices = list(places)
        self._blocks[indices] = x
        self._playing.zero_()
        self._playing[indices] = True
        self._input.copy_(self._blocks, non_blocking=True)
        self._mask.copy_(self._playing, non_blocking=True)
        self._graph.replay()
        self._results.copy_(self._output, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        return self._results[indices]


def chosen(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Return the state of each place: the new one where the mask says so, otherwise the old one.

    Args:
        mask: (places,).
        new: state after a step, (places, ...).
        old: state before it, (places, ...).
    """
    return torch.where(mask.view(-1, *[1] * (old.dim() - 1)), new, old)
