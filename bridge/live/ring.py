"""Blocks of audio from one process to another without locks: one writes, one reads, both at their own pace.

The memory is an anonymous file whose descriptor the other process inherits; nothing is left behind when both end.
"""

from __future__ import annotations

import mmap
import os

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]

_HEAD = 64  # a cache line for each index


def _size(channels: int, frames: int, blocks: int) -> int:
    return 2 * _HEAD + 4 * channels * frames * blocks


class Ring:
    """A queue of blocks of one size.

    Args:
        channels, frames: of a block.
        blocks: how many can wait.
        descriptor: of an existing ring's memory; None makes a new one.
    """

    def __init__(self, channels: int, frames: int, blocks: int = 8, descriptor: int | None = None) -> None:
        self.channels, self.frames, self.blocks = channels, frames, blocks
        size = _size(channels, frames, blocks)
        if descriptor is None:
            descriptor = os.memfd_create("neural-fx-ring", 0)
            self.allocate(descriptor, channels, frames, blocks)
        self.descriptor = descriptor
        self._memory = mmap.mmap(self.descriptor, size)
        self._written = np.frombuffer(self._memory, np.uint64, 1, 0)
        self._read = np.frombuffer(self._memory, np.uint64, 1, _HEAD)
        samples = np.frombuffer(self._memory, np.float32, channels * frames * blocks, 2 * _HEAD)
        self._slots = samples.reshape(blocks, channels, frames)

    @staticmethod
    def allocate(descriptor: int, channels: int, frames: int, blocks: int = 8) -> None:
        """Give an empty anonymous file the size of a ring."""
        os.ftruncate(descriptor, _size(channels, frames, blocks))

    def __len__(self) -> int:
        """Blocks that wait."""
        return int(self._written[0]) - int(self._read[0])

    def put(self, block: Audio) -> bool:
        """Add a block (channels, frames); False, and nothing happens, if the ring is full."""
        written = int(self._written[0])
        if written - int(self._read[0]) >= self.blocks:
            return False
        self._slots[written % self.blocks] = block
        self._written[0] = written + 1  # after the samples: x86 and the GIL's fences keep the order
        return True

    def take(self, into: Audio) -> bool:
        """Take the oldest block; False, and `into` stays, if none waits."""
        read = int(self._read[0])
        if int(self._written[0]) == read:
            return False
        into[:] = self._slots[read % self.blocks]
        self._read[0] = read + 1
        return True
