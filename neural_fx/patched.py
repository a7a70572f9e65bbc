"""Read a file with some of its bytes replaced."""

from __future__ import annotations

import io
import os
from pathlib import Path


class PatchedFile(io.RawIOBase):
    """A file opened for reading with some of its bytes replaced.

    Args:
        path: the file.
        patches: new bytes by position.
    """

    def __init__(self, path: str | Path, patches: dict[int, bytes]) -> None:
        super().__init__()
        self._file = open(path, "rb")  # noqa: SIM115 - closed by close()
        self._patches = patches

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes, with the replaced ones in their places; -1 reads to the end."""
        start = self._file.tell()
        data = bytearray(self._file.read(size))
        for position, patch in self._patches.items():
            first = max(position, start)
            last = min(position + len(patch), start + len(data))
            if first < last:
                data[first - start : last - start] = patch[first - position : last - position]
        return bytes(data)

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
