"""Blocks of audio from one process to another without locks: one writes, one reads, both at their own pace."""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]

BLOCKS = 8
"""How many blocks can wait in a ring."""
_HEAD = 64  # a cache line for each index


def ring_file(channels: int, frames: int) -> Path:
    """A new file of the size of a ring, in memory where the system has such a place; the caller removes it."""
    shared = Path("/dev/shm")
    folder = shared if shared.is_dir() else None
    with tempfile.NamedTemporaryFile(prefix="neural-fx-ring-", dir=folder, delete=False) as file:
        file.truncate(_size(channels, frames))
        return Path(file.name)


def _size(channels: int, frames: int) -> int:
    return 2 * _HEAD + 4 * channels * frames * BLOCKS


class Ring:
    """A queue of blocks of one size, in a file that two processes map.

    Args:
        path: from `ring_file`, for the same sizes.
        channels, frames: of a block.
    """

    def __init__(self, path: str | Path, channels: int, frames: int) -> None:
        with Path(path).open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _size(channels, frames))
        self._written = np.frombuffer(self._memory, np.uint64, 1, 0)
        self._read = np.frombuffer(self._memory, np.uint64, 1, _HEAD)
        samples = np.frombuffer(self._memory, np.float32, channels * frames * BLOCKS, 2 * _HEAD)
        self._slots = samples.reshape(BLOCKS, channels, frames)

    HEAD = _HEAD
    """Bytes before the blocks for each of the two counters."""

    def memory(self) -> NDArray[np.uint8]:
        """Return the bytes that both processes share."""
        return np.frombuffer(self._memory, np.uint8)

    def __len__(self) -> int:
        """Blocks that wait."""
        return int(self._written[0]) - int(self._read[0])

    def put(self, block: Audio) -> bool:
        """Add a block (channels, frames); False, and nothing happens, if the ring is full."""
        written = int(self._written[0])
        if written - int(self._read[0]) >= BLOCKS:
            return False
        self._slots[written % BLOCKS] = block
        self._written[0] = written + 1  # after the samples
        return True

    def take(self, into: Audio) -> bool:
        """Take the oldest block; False, and `into` stays, if none waits."""
        read = int(self._read[0])
        if int(self._written[0]) == read:
            return False
        into[:] = self._slots[read % BLOCKS]
        self._read[0] = read + 1
        return True
