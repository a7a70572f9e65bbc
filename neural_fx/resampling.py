"""A stream at one rate as a stream at another: libsamplerate, stateful, independent of block sizes.

Files that are converted whole use soxr (`neural_fx.audio.resample`); soxr's streams hold back up to 21 ms, so a
processor inside a stream uses libsamplerate's medium sinc converter: 130 dB, about 1.1 ms.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
CONVERTER = "sinc_medium"
MOST_CHANNELS = 128


class StreamResampler:
    """Converts blocks of (channels, samples). Output sample k stands at the time of input sample k / ratio.

    Nothing is shifted: the converter returns fewer samples at first, because it looks ahead, and then keeps pace.
    """

    def __init__(self, rate_in: float, rate_out: float, channels: int) -> None:
        import samplerate

        self.ratio = rate_out / rate_in
        groups = range(0, channels, MOST_CHANNELS)
        self._resamplers = [samplerate.Resampler(CONVERTER, min(MOST_CHANNELS, channels - g)) for g in groups]

    def process(self, block: Audio) -> Audio:
        """The next block; what comes out may be shorter or longer than `len * ratio` by the look-ahead."""
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
    """Samples at `rate` that a stream converted to `inner_rate` and back is behind; found by running one."""
    there, back = StreamResampler(rate, inner_rate, 1), StreamResampler(inner_rate, rate, 1)
    sample, given, most = np.zeros((1, 1), np.float32), 0, 0
    for taken in range(1, 1500):
        given += back.process(there.process(sample)).shape[1]
        most = max(most, taken - given)
    return most
