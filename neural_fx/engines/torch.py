"""Run networks with torch: the reference engine, which processes streams in chunks that fit the cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from neural_fx import blocks
from neural_fx.arrays import Array
from neural_fx.engines.fused import fuse
from neural_fx.engines.pieces import run_pieces
from neural_fx.networks import Network, build, runs_in_pieces
from neural_fx.networks.model import Model, State


class TorchEngine:
    """A network as a torch module on a device.

    Args:
        network: any network but a `Slimmable`.
        device: a torch device.

    Raises:
        RuntimeError: the device does not exist (torch's own message).
    """

    def __init__(self, network: Network, device: str = "cpu") -> None:
        self.network = network
        self.model = build(network).to(device).eval().requires_grad_(False)
        self.device = torch.device(device)
        if self.device.type == "cuda":
            use_float32_on_cuda()
            fuse(self.model, self.device)
        self._warm: tuple[tuple[int, bytes], State] | None = None

    def stream(self, batch: int) -> TorchStream:
        """Open `batch` streams that are processed together."""
        return TorchStream(self, batch)

    @torch.inference_mode()
    def warm_state(self, prewarm: int, controls: Array) -> State:
        """Return the state of one stream after a stretch of silence. The last result is cached.

        Args:
            prewarm: samples of silence.
            controls: (in_channels - 1,), the knob values during the silence.
        """
        key = prewarm, controls.tobytes()
        warm = self._warm  # other threads replace it
        if warm is None or warm[0] != key:
            silence = np.zeros((1, self.model.in_channels, prewarm), np.float32)
            silence[0, 1:] = controls[:, None]
            with one_thread():
                warm = key, run(self.model, self.model.initial_state(1), silence, self.device)[1]
            self._warm = warm
        return warm[1]

    @torch.inference_mode()
    def long_run(self, state: State, x: Array, segment: int = blocks.SEGMENT) -> tuple[Array, State]:
        """Process a long signal as a batch of segments that overlap by the receptive field.

        The result equals that of a stream, but for rounding. Networks whose receptive field is not finite, or whose
        weights follow knobs, run as a stream.

        Args:
            state: of the streams before the signal.
            x: (batch, in_channels, samples) float32.
            segment: output samples of one item.

        Returns:
            (batch, out_channels, samples) float32, and the next state.
        """
        past = self.network.receptive_field - 1
        batch, _, samples = x.shape
        count = samples // segment - 1
        if not runs_in_pieces(self.network) or past >= segment or count < 1:
            return run(self.model, state, x, self.device)
        # The remainder comes first. All later segments are full, and the samples before them are their past.
        first = samples - count * segment
        y = np.empty((batch, self.model.out_channels, samples), np.float32)
        y[:, :, :first], _ = run(self.model, state, x[:, :, :first], self.device)
        at_once = max(1, blocks.MOST_SEGMENTS // batch)
        if self.device.type == "cuda":
            state = run_pieces(self.model, x, y, first, past, segment, at_once)
            return y, [s[-batch:].clone() for s in state]
        for start in range(0, count, at_once):
            starts = [first + i * segment for i in range(start, min(start + at_once, count))]
            windows = np.concatenate([x[:, :, s - past : s + segment] for s in starts])
            found, state = self.model(torch.from_numpy(windows).to(self.device), self.model.initial_state(len(windows)))
            for part, s in zip(
                found[:, :, past:].cpu().numpy().reshape(len(starts), batch, -1, segment), starts, strict=True
            ):
                y[:, :, s : s + segment] = part
        return y, [s[-batch:].clone() for s in state]


class TorchStream:
    """Streams of one `TorchEngine`, which run as a batch.

    Args:
        engine: the network.
        batch: number of streams.
    """

    def __init__(self, engine: TorchEngine, batch: int) -> None:
        self.engine, self.batch = engine, batch
        self.state: State = []

    def reset(self, prewarm: int, controls: Array) -> None:
        """Start again, after `prewarm` samples of silence with the knobs at `controls`."""
        warm = self.engine.warm_state(prewarm, controls)
        self.state = [s.expand(self.batch, *s.shape[1:]).contiguous() for s in warm]

    @torch.inference_mode()
    def process(self, x: Array) -> Array:
        """Process a block: (batch, in_channels, samples) to (batch, out_channels, samples)."""
        with one_thread():
            y, self.state = run(self.engine.model, self.state, x, self.engine.device)
        return y


def use_float32_on_cuda() -> None:
    """Let cuDNN compute convolutions and recurrent layers in float32, in the whole process.

    By default it rounds their inputs to TF32, which has a mantissa of 10 bits. The result would then differ from the
    CPU engine's by far more than rounding.
    """
    torch.backends.cudnn.allow_tf32 = False


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread inside the block.

    For networks this small, waking a second thread costs more than it saves. Measured with both cores busy: an LSTM of
    5 units takes 3 to 9 times as long on two threads as on one.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def run(model: Model, state: State, x: Array, device: torch.device) -> tuple[Array, State]:
    """Run a model over a block in chunks.

    Args:
        model: on `device`.
        state: of the streams before the block.
        x: (batch, in_channels, samples) float32.
        device: where the chunks are moved to.

    Returns:
        (batch, out_channels, samples) float32, and the next state.
    """
    out = np.empty((x.shape[0], model.out_channels, x.shape[2]), np.float32)
    size = blocks.TORCH_BLOCK
    if device.type == "cuda":  # every call waits for the GPU, which must have enough to do
        size = max(size, blocks.MOST_SEGMENTS * blocks.SEGMENT // max(1, x.shape[0]))
    for start in range(0, x.shape[2], size):
        piece = slice(start, start + size)
        y, state = model(torch.from_numpy(np.ascontiguousarray(x[:, :, piece])).to(device), state)
        out[:, :, piece] = y.cpu().numpy()
    return out, state
