"""Hold audio back in a first-in-first-out queue: `Queue`."""

from __future__ import annotations

import numpy as np

from neural_fx.arrays import Audio


class Queue:
    """A first-in-first-out queue of audio.

    Args:
        channels: of the audio.
    """

    def __init__(self, channels: int) -> None:
        self._held = np.zeros((channels, 0), np.float32)

    def __len__(self) -> int:
        """Return how many samples wait."""
        return int(self._held.shape[1])

    def put(self, block: Audio) -> None:
        """Add a block, (channels, samples)."""
        self._held = np.concatenate((self._held, block), 1) if len(self) else block

    def put_silence(self, samples: int) -> None:
        """Add zeros, which delay all later samples."""
        self.put(np.zeros((self._held.shape[0], samples), np.float32))

    def take(self, count: int) -> Audio:
        """Remove and return the oldest `count` samples, (channels, count)."""
        out, self._held = self._held[:, :count], self._held[:, count:]
        return out
