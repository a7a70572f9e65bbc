"""Run consecutive native plugins as one processor, so that a stream of any blocks sounds like one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pedalboard

from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.audio_queue import Queue
from neural_fx.native_checks import NativeChecks
from neural_fx.processor import Processor, Spec
from neural_fx.sharing import NativeClaims, everything_in, used_elsewhere

BLOCK_SENSITIVE = (pedalboard.Resample, pedalboard.GSMFullRateCompressor, pedalboard.MP3Compressor)
"""Native plugins whose output depends on the block sizes (measured). They get blocks of one size."""

NOT_STREAMING = (pedalboard.PitchShift,)
"""Native plugins that return silence with `reset=False` (measured in 0.9.26). They get the whole signal at its end."""

ENCODER_LIMIT = 1e4
"""The largest sample that an encoder gets, 80 dB above full scale."""


def bounded(spec: Spec) -> Spec:
    """Return a stream's properties with a buffer of at most `blocks.NATIVE_BLOCK` samples."""
    return replace(spec, buffer_size=min(spec.buffer_size, blocks.NATIVE_BLOCK))


class NativeRun(Processor):
    """A run of native plugins as one processor, through one native board.

    A native plugin loses its state when a block is larger than any before it (measured). So a silent block of full size
    goes first. It also shows how many samples the plugins hold back.

    Args:
        plugins: in order.
    """

    def __init__(self, plugins: Iterable[pedalboard.Plugin]) -> None:
        super().__init__()
        self._native = list(plugins)
        self._board = pedalboard.Pedalboard(self._native)
        self._claims = NativeClaims(everything_in(self._board)[1:])
        self._checks: NativeChecks | None = None
        self._held = 0

    @property
    def latency_samples(self) -> int:
        """Samples that the plugins hold back."""
        return self._held

    def prepare(self, spec: Spec) -> None:
        self.prime(spec)
        self._board.reset()

    def open_stream(self, spec: Spec) -> None:
        super().open_stream(spec)
        self._claims.take()

    def _continues(self, rate: float, channels: int) -> bool:
        if not super()._continues(rate, channels):
            return False
        if (lost := self._claims.lost()) is not None:
            raise used_elsewhere(lost)
        return True

    def prime(self, spec: Spec) -> None:
        """Push silent blocks of full size until samples come out, and count how many are held back."""
        self._stream = bounded(spec)
        self._board.reset()
        size = self._stream.buffer_size
        silence = np.zeros((spec.channels, size), np.float32)
        given = pushed = 0
        while pushed == 0 or (given == 0 and pushed < blocks.NATIVE_PRIMING):
            given += self.native(silence).shape[1]
            pushed += size
        self._held = pushed - given

    def process_block(self, block: Audio) -> Audio:
        return self.native(block)

    def check_values(self) -> None:
        """Check the plugins' parameters, which may have been set since the last block.

        Raises:
            ParameterError: native code cannot handle the value of a parameter. Names it and its range.
        """
        if self._checks is None or self._checks.sample_rate != self._stream.sample_rate:
            self._checks = NativeChecks(self._native, self._stream.sample_rate)
        self._checks()

    def native(self, block: Audio, reset: bool = False) -> Audio:
        """Process a block through the native board.

        Args:
            block: (channels, samples).
            reset: True processes the block as a whole signal, False as the next block of the stream.

        Returns:
            (channels, samples), with fewer samples if the plugins hold some back.

        Raises:
            ParameterError: native code cannot handle the value of a parameter. Names it and its range.
        """
        spec = self._stream
        self.check_values()
        done = self._board.process(np.ascontiguousarray(block), spec.sample_rate, spec.buffer_size, reset=reset)
        return np.asarray(done, np.float32)


class ExternalRun(NativeRun):
    """VST3 plugins.

    A reset makes them forget the block size, too. So the silent block stays part of their stream.

    A stereo plugin that refuses mono gets the signal on both channels. The result is the mean of its outputs.
    """

    def prepare(self, spec: Spec) -> None:
        self._doubled = False
        try:
            self.prime(spec)
        except ValueError:
            if spec.channels != 1:
                raise
            self._doubled = True
            self.prime(spec)
        self._silent = self._held

    def native(self, block: Audio, reset: bool = False) -> Audio:
        """Process a block through the native board, as stereo if the plugin refuses mono; see `NativeRun.native`."""
        if not self._doubled:
            return super().native(block, reset)
        mean: Audio = super().native(np.repeat(block, 2, 0), reset).mean(0, keepdims=True)
        return mean

    def process_block(self, block: Audio) -> Audio:
        out = self.native(block)
        drop = min(self._silent, out.shape[1])
        self._silent -= drop
        return out[:, drop:]


class FixedBlockRun(NativeRun):
    """Native plugins of `BLOCK_SENSITIVE`, which get blocks of exactly the buffer size.

    `MP3Compressor` crashes the process at samples of 1e7 and more (measured in 0.9.26). Its output never exceeds 1.0.
    So its input is limited.
    """

    def prepare(self, spec: Spec) -> None:
        super().prepare(spec)
        self._held += self._stream.buffer_size - 1
        self._waiting = Queue(spec.channels)
        self._encodes = any(isinstance(plugin, pedalboard.MP3Compressor) for plugin in everything_in(self._board))

    def process_block(self, block: Audio) -> Audio:
        if self._encodes:
            block = np.clip(block, -ENCODER_LIMIT, ENCODER_LIMIT)
        self._waiting.put(block)
        size, done = self._stream.buffer_size, []
        while len(self._waiting) >= size:
            done.append(self.native(self._waiting.take(size)))
        return np.concatenate(done, 1) if done else block[:, :0]


class WholeSignalRun(NativeRun):
    """Native plugins of `NOT_STREAMING`. All output comes at the end, and memory grows with the length."""

    def prepare(self, spec: Spec) -> None:
        self._stream = bounded(spec)
        self._signal: list[Audio] = []

    def process_block(self, block: Audio) -> Audio:
        self.check_values()
        self._signal.append(block)
        self._held = self._passed.taken + block.shape[1]
        return block[:, :0]

    def rest(self) -> Iterator[Audio]:
        """Yield the whole signal, processed."""
        if self._signal:
            yield self.native(np.concatenate(self._signal, 1), reset=True)


def native_kind(plugin: pedalboard.Plugin) -> type[NativeRun]:
    """Return the kind of run that a native plugin needs. A native chain needs that of its most demanding plugin."""
    if isinstance(plugin, Iterable):
        kinds = {native_kind(inner) for inner in plugin}
        return next((kind for kind in (WholeSignalRun, FixedBlockRun, ExternalRun) if kind in kinds), NativeRun)
    if isinstance(plugin, NOT_STREAMING):
        return WholeSignalRun
    if isinstance(plugin, pedalboard.ExternalPlugin):
        return ExternalRun
    return FixedBlockRun if isinstance(plugin, BLOCK_SENSITIVE) else NativeRun
