"""Run the pieces of a long signal on a CUDA GPU while others are on their way to it and back: `run_pieces`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neural_fx.arrays import Array
from neural_fx.networks.model import Model, State


def run_pieces(model: Model, x: Array, y: Array, first: int, past: int, segment: int, at_once: int) -> State:
    """Process a signal from a sample on, as batches of segments that overlap by the receptive field.

    The CPU fills the next batch and empties the previous one while the GPU computes. Page-locked memory lets the
    copies between both run beside the computation.

    Args:
        model: on a CUDA device.
        x: (batch, in_channels, samples) float32.
        y: (batch, out_channels, samples) float32, written from `first` on.
        first: first sample to process. The samples from there on are full segments.
        past: samples before a segment that its output depends on. They are at most `first`.
        segment: samples of a segment.
        at_once: segments of each item in a batch of segments.

    Returns:
        The state of the last batch, whose last items are those of the last segment.
    """
    if not x.flags.writeable:  # torch does not share memory that it must not write
        x = x.copy()
    pipeline = _Pipeline(model, torch.from_numpy(y), past, segment)
    for begin in range(first, x.shape[2], at_once * segment):
        end = min(begin + at_once * segment, x.shape[2])
        pipeline.push(torch.from_numpy(x[:, :, begin - past : end]), begin)
    pipeline.finish()
    return pipeline.state


class _Pipeline:
    """Batches on their way to the GPU, on it, and on their way back.

    Args:
        model: on a CUDA device.
        y: (batch, out_channels, samples), on the CPU.
        past: samples before a segment that its output depends on.
        segment: samples of a segment.

    Attributes:
        state: of the last batch.
    """

    def __init__(self, model: Model, y: Tensor, past: int, segment: int) -> None:
        self.model, self.y, self.past, self.segment = model, y, past, segment
        self.device = next(model.parameters()).device
        self.upload, self.download = (torch.cuda.Stream(self.device) for _ in range(2))  # type: ignore[no-untyped-call]
        self.state: State = []
        self._inputs = [_Locked(), _Locked()]
        self._outputs = [_Locked(), _Locked()]
        self._pushed = 0
        self._unread: tuple[_Locked, Tensor, int] | None = None

    def push(self, x: Tensor, begin: int) -> None:
        """Start a batch, then read the previous one.

        Args:
            x: (batch, in_channels, past + samples), on the CPU.
            begin: first sample of the output.
        """
        main = torch.cuda.current_stream(self.device)
        source, target = self._inputs[self._pushed % 2], self._outputs[self._pushed % 2]
        self._pushed += 1
        source.wait()
        locked = source.view(x.shape)
        locked.copy_(x)
        with torch.cuda.stream(self.upload):
            arrived = locked.to(self.device, non_blocking=True)
            source.used_by(self.upload)
        main.wait_stream(self.upload)
        arrived.record_stream(main)

        found = self._compute(arrived)
        back = target.view(found.shape)
        self.download.wait_stream(main)
        with torch.cuda.stream(self.download):
            back.copy_(found, non_blocking=True)
            target.used_by(self.download)
        found.record_stream(self.download)

        self.finish()
        self._unread = target, back, begin

    def finish(self) -> None:
        """Read the batch that was started last."""
        if self._unread is not None:
            memory, back, begin = self._unread
            memory.wait()
            self.y[:, :, begin : begin + back.shape[2]].copy_(back)
            self._unread = None

    def _compute(self, x: Tensor) -> Tensor:
        """Process past and segments, (batch, in_channels, samples), to the output of the segments."""
        batch, channels, samples = x.shape
        count = (samples - self.past) // self.segment
        windows = x.unfold(2, self.past + self.segment, self.segment).permute(2, 0, 1, 3)
        windows = windows.reshape(count * batch, channels, self.past + self.segment)
        found, self.state = self.model(windows, self.model.initial_state(len(windows)))
        kept = found[:, :, self.past :].reshape(count, batch, -1, self.segment)
        joined: Tensor = kept.permute(1, 2, 0, 3).reshape(batch, -1, count * self.segment)
        return joined


class _Locked:
    """Page-locked memory of the CPU, and the last transfer that used it."""

    def __init__(self) -> None:
        self._memory = torch.empty(0)
        self._used: torch.cuda.Event | None = None

    def view(self, shape: torch.Size) -> Tensor:
        """Return the memory as a tensor, after `wait`."""
        size = int(np.prod(shape))
        if self._memory.numel() < size:
            try:
                self._memory = torch.empty(size, pin_memory=True)
            except RuntimeError:  # the system allows no more of it; transfers then wait for each other
                self._memory = torch.empty(size)
        return self._memory[:size].view(shape)

    def used_by(self, stream: torch.cuda.Stream) -> None:
        """Note that a transfer of the stream uses the memory."""
        self._used = stream.record_event()

    def wait(self) -> None:
        """Wait until no transfer uses the memory any more."""
        if self._used is not None:
            self._used.synchronize()
