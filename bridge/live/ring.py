"""Pass blocks of audio from one process to another without locks. One process writes and one reads."""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge import limits
from neural_fx.arrays import Audio

_HEAD = 64  # a cache line for each index
_PREFIX = "neural-fx-ring-"
_IN_MEMORY = Path("/dev/shm")


class SharedFile:
    """Memory that two processes share: a file without a name. It disappears when both have ended, even after a crash.

    On Windows, an open file cannot be inherited. There, the file has a name until `close`.

    Attributes:
        name: an inherited descriptor for the other process to open, or a path on Windows.

    Raises:
        OSError: no file can be created.
    """

    name: int | str

    def __init__(self) -> None:
        if sys.platform == "win32":
            self.descriptor, self.name = tempfile.mkstemp(prefix=_PREFIX)
        elif sys.platform == "linux":
            self.descriptor = self.name = os.memfd_create("neural-fx-ring")
        else:
            self.descriptor, path = tempfile.mkstemp(prefix=_PREFIX)
            os.unlink(path)
            self.name = self.descriptor

    def allocate(self, size: int) -> None:
        """Fill the file with zeros. If memory were only reserved, the process could die later when it runs out.

        Args:
            size: bytes.

        Raises:
            OSError: there is not enough memory or disk space.
        """
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        rest = memoryview(bytes(size))
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]

    def close(self) -> None:
        """Close this process's descriptor. Mapped memory stays mapped."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if isinstance(self.name, str):
            with contextlib.suppress(OSError):  # Windows keeps a file that a process still maps
                os.unlink(self.name)


def remove_leftovers() -> None:
    """Remove named ring files of killed processes, which remain on Windows and from earlier versions.

    A file may be removed while processes have it mapped. Its memory stays until they end.
    """
    for folder in {_IN_MEMORY, Path(tempfile.gettempdir())}:
        for path in folder.glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > limits.LIVE_RING_LEFTOVER_SECONDS:
                    path.unlink()


def ring_size(channels: int, frames: int) -> int:
    """Return the bytes of a ring for blocks of this size."""
    return 2 * _HEAD + 4 * channels * frames * limits.LIVE_RING_BLOCKS


def mapped(source: str | Path | int, size: int) -> mmap.mmap:
    """Map a file for reading and writing.

    Args:
        source: its path or an open descriptor.
        size: bytes.
    """
    if isinstance(source, int):
        return mmap.mmap(source, size)
    with Path(source).open("r+b") as file:
        return mmap.mmap(file.fileno(), size)


class Ring:
    """A queue of blocks of one size, in a file that two processes map.

    Args:
        source: name of a `SharedFile` or a path, with `ring_size` bytes.
        channels: channels of a block.
        frames: frames of a block.
    """

    def __init__(self, source: str | Path | int, channels: int, frames: int) -> None:
        self._memory = mapped(source, ring_size(channels, frames))
        self._written = np.frombuffer(self._memory, np.uint64, 1, 0)
        self._read = np.frombuffer(self._memory, np.uint64, 1, _HEAD)
        samples = np.frombuffer(self._memory, np.float32, channels * frames * limits.LIVE_RING_BLOCKS, 2 * _HEAD)
        self._slots = samples.reshape(limits.LIVE_RING_BLOCKS, channels, frames)

    HEAD = _HEAD
    """Bytes of each of the two counters before the blocks."""

    def memory(self) -> NDArray[np.uint8]:
        """Return the bytes that both processes share."""
        return np.frombuffer(self._memory, np.uint8)

    def __len__(self) -> int:
        """Return the number of blocks that wait."""
        return int(self._written[0]) - int(self._read[0])

    @property
    def written(self) -> int:
        """Number of blocks put in so far."""
        return int(self._written[0])

    @property
    def read(self) -> int:
        """Number of blocks taken so far."""
        return int(self._read[0])

    def put(self, block: Audio) -> bool:
        """Add a block of shape (channels, frames). Return False if the ring is full."""
        written = int(self._written[0])
        if written - int(self._read[0]) >= limits.LIVE_RING_BLOCKS:
            return False
        self._slots[written % limits.LIVE_RING_BLOCKS] = block
        self._written[0] = written + 1  # after the samples
        return True

    def take(self, into: Audio) -> bool:
        """Copy the oldest block into `into`, (channels, frames). Return False if no block waits."""
        read = int(self._read[0])
        if int(self._written[0]) == read:
            return False
        into[:] = self._slots[read % limits.LIVE_RING_BLOCKS]
        self._read[0] = read + 1
        return True


class Counters:
    """Counters that the I/O process writes and the worker reads, in a file that both map.

    - ``periods``: periods that the audio system requested;
    - ``dropouts``: periods that played the dry input, because the worker's audio was late;
    - ``xruns``: xruns that the audio system reported;
    - ``midi_lost``: MIDI messages that the worker could not take.

    Args:
        source: name of a `SharedFile` or a path, with `SIZE` bytes.
    """

    _NAMES = ("periods", "dropouts", "xruns", "midi_lost")
    SIZE = 8 * len(_NAMES)

    def __init__(self, source: str | Path | int) -> None:
        self._memory = mapped(source, self.SIZE)
        self._values = np.frombuffer(self._memory, np.uint64)

    def add(self, name: str, count: int = 1) -> None:
        """Increase a counter. Only one thread of the I/O process may use a counter.

        Args:
            name: the counter.
            count: how much to add.
        """
        at = self._NAMES.index(name)
        self._values[at] = int(self._values[at]) + count

    def read(self) -> dict[str, int]:
        """Return all counters by name."""
        return {name: int(value) for name, value in zip(self._NAMES, self._values, strict=True)}
