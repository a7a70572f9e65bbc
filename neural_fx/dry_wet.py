"""Blend signals: `DryWet` for a dry input and its wet output, `crossfade` for any two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neural_fx.arrays import Audio
from neural_fx.audio_queue import Queue

Amount = NDArray[np.float32] | np.float32
"""One number, or (samples,) of them, as `neural_fx.parameters.Ramp.next` returns them."""


def crossfade(first: Audio, second: Audio, amount: Amount) -> Audio:
    """Blend two signals.

    Args:
        first: (channels, samples).
        second: (channels, samples).
        amount: 0 returns the first signal, 1 the second.

    Returns:
        (channels, samples).
    """
    return first + amount * (second - first)


def fade_in(done: int, count: int, length: int) -> NDArray[np.float32]:
    """Return the next amounts of a straight fade from 0 to 1, independent of the block sizes.

    Args:
        done: samples of the fade so far.
        count: amounts to return.
        length: samples of the whole fade.

    Returns:
        (count,) amounts, 1 after the end of the fade.

    >>> fade_in(1, 4, 4)
    array([0.5 , 0.75, 1.  , 1.  ], dtype=float32)
    """
    return np.clip((done + np.arange(1, count + 1)) / length, 0, 1).astype(np.float32)


class DryWet:
    """Blends the input of an effect with its output, aligned in time.

    The dry signal waits in a queue until the wet samples of the same position arrive. So an effect that looks ahead,
    and returns fewer samples than it gets, is aligned without a latency in numbers. Some effects return as many samples
    as they get, `latency` samples late. For these, the dry signal is delayed as much.

        >>> mixer = DryWet(channels=1)
        >>> mixer.put(np.float32([[1, 2, 3]]))
        >>> mixer.blend(np.float32([[0, 0]]), np.float32(0.5))
        array([[0.5, 1. ]], dtype=float32)

    Args:
        channels: of both signals.
        latency: samples by which the wet signal is late.
    """

    def __init__(self, channels: int, latency: int = 0) -> None:
        self._dry = Queue(channels)
        self._dry.put_silence(latency)

    def put(self, dry: Audio) -> None:
        """Add the next block of the dry signal, (channels, samples)."""
        self._dry.put(dry)

    def blend(self, wet: Audio, amount: Amount) -> Audio:
        """Blend the next block of the wet signal with the dry samples of the same position.

        Args:
            wet: (channels, samples). All its dry samples must have been put before.
            amount: 0 is dry, 1 is wet.

        Returns:
            (channels, samples). If `amount` is the number 1, this is `wet` itself.
        """
        dry = self._dry.take(wet.shape[1])
        if not isinstance(amount, np.ndarray) and amount == 1:
            return wet
        return crossfade(dry, wet, amount)

    def take_dry(self, count: int) -> Audio:
        """Remove and return the next dry samples, (channels, count), in place of a blend."""
        return self._dry.take(count)

    def change_latency(self, samples: int) -> None:
        """Follow a wet signal whose latency changes.

        Args:
            samples: that the wet signal gets later by. If negative, it gets earlier, and as many dry samples are
                skipped.
        """
        if samples > 0:
            self._dry.put_silence(samples)
        elif samples < 0:
            self._dry.take(-samples)
