"""Convert the sample rate of a stream with libsamplerate, independent of the block sizes.

Whole files are converted with soxr (`neural_fx.audio.resample`), whose streams have a latency of up to 21 ms. So
processors in a stream use libsamplerate's medium sinc converter, with 130 dB and about 1.1 ms.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from neural_fx.arrays import Audio

CONVERTER = "sinc_medium"
MOST_CHANNELS = 128
"""Channels of one converter. libsamplerate takes no more, so wider streams use several."""


class StreamResampler:
    """Converts blocks of (channels, samples).

    Output sample k has the time of input sample k / ratio. The converter looks ahead, so the first blocks are shorter.

    Args:
        rate_in: sample rate of the input in Hz.
        rate_out: sample rate of the output in Hz.
        channels: of the stream.
    """

    def __init__(self, rate_in: float, rate_out: float, channels: int) -> None:
        import samplerate

        self.ratio = rate_out / rate_in
        groups = range(0, channels, MOST_CHANNELS)
        self._resamplers = [samplerate.Resampler(CONVERTER, min(MOST_CHANNELS, channels - g)) for g in groups]

    def process(self, block: Audio) -> Audio:
        """Convert the next block. Because of the look-ahead, the result may be shorter or longer than `len * ratio`."""
        if block.shape[1] == 0:
            return block
        parts = np.split(block, range(MOST_CHANNELS, block.shape[0], MOST_CHANNELS))
        done = [
            np.asarray(r.process(np.ascontiguousarray(p.T), self.ratio), np.float32).reshape(-1, p.shape[0]).T
            for r, p in zip(self._resamplers, parts, strict=True)
        ]
        return np.ascontiguousarray(np.concatenate(done))


@lru_cache(maxsize=64)
def round_trip_latency(rate: float, inner_rate: float) -> int:
    """Measure the latency of a stream that is converted to another rate and back.

    Args:
        rate: of the stream, in Hz.
        inner_rate: that it is converted to, in Hz.

    Returns:
        The latency in samples at `rate`.
    """
    there, back = StreamResampler(rate, inner_rate, 1), StreamResampler(inner_rate, rate, 1)
    sample, given, most = np.zeros((1, 1), np.float32), 0, 0
    for taken in range(1, 1500):
        given += back.process(there.process(sample)).shape[1]
        most = max(most, taken - given)
    return most
