"""Run a part of a processor at a sample rate of its own: `ResampledStage`."""

from __future__ import annotations

import math

import numpy as np

from neural_fx.arrays import Audio
from neural_fx.resampling import StreamResampler, round_trip_latency


class ResampledStage:
    """Converts a stream into the sample rate of an inner part, and its output back.

    If both rates are equal, blocks pass as they are. A part with a fixed block size, such as the copies of an
    oversampled model, gets a whole number of its blocks. The remaining samples wait for the next block.

        >>> stage = ResampledStage(48000, 48000, channels=1, multiple=2)
        >>> stage.into(np.ones((1, 5), np.float32)).shape
        (1, 4)

    Args:
        rate: of the stream, in Hz.
        inner_rate: of the part, in Hz.
        channels: of the audio, in both directions.
        multiple: the part gets blocks of a multiple of this many samples.
    """

    def __init__(self, rate: float, inner_rate: float, channels: int, multiple: int = 1) -> None:
        self.rate, self.inner_rate, self.multiple = rate, inner_rate, multiple
        self._into: StreamResampler | None = None
        self._back: StreamResampler | None = None
        self._waiting = np.zeros((channels, 0), np.float32)
        if self.converts:
            self._into = StreamResampler(rate, inner_rate, channels)
            self._back = StreamResampler(inner_rate, rate, channels)

    @property
    def converts(self) -> bool:
        """Whether the rates differ."""
        return self.rate != self.inner_rate

    def into(self, block: Audio) -> Audio:
        """Convert the next block of the stream to the inner rate: (channels, samples)."""
        inner = block if self._into is None else self._into.process(block)
        if self.multiple == 1:
            return inner
        inner = np.concatenate((self._waiting, inner), 1)
        end = inner.shape[1] - inner.shape[1] % self.multiple
        self._waiting = inner[:, end:]
        return inner[:, :end]

    def back(self, inner: Audio) -> Audio:
        """Convert the next block of the inner part to the rate of the stream: (channels, samples)."""
        return inner if self._back is None else self._back.process(inner)

    def latency_samples(self, held: int = 0) -> int:
        """Return the most samples by which the output is behind the input, at the rate of the stream.

        Args:
            held: samples that the inner part holds back, at its rate.
        """
        held += self.multiple - 1
        if not self.converts:
            return held
        return math.ceil(held * self.rate / self.inner_rate) + round_trip_latency(self.rate, self.inner_rate)
