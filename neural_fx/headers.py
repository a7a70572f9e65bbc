"""Compare the size that an audio file's header states with the audio in the file.

libsndfile reads a file that was cut off as a shorter file. It reads a file whose recorder never filled in the size as
an empty file. Neither raises an error. This module reads the few header fields that identify such files.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from neural_fx.inputs import without_waiting

_MOST_CHUNKS = 10000
"""The most chunks that are searched for the audio. Real files have a few dozen at most."""
_OGG_PAGE = 65307
"""The largest page of an Ogg file, in bytes."""
_LARGEST = 2**32 - 1
_MOST_AFTER = 2**20
"""The most bytes of other chunks after the audio, when sizes over 4 GB are detected."""
_LARGEST_FRAME = 256
"""The largest frame in bytes. Blocks of compressed audio are larger, and an incomplete one counts as missing audio."""


@dataclass(frozen=True)
class Size:
    """Size of the audio in a file, in bytes.

    Attributes:
        stated: size in the header; None if it was never filled in.
        present: bytes after the header.
        frame_bytes: size of one frame or compressed block; 1 if unknown.
        patches: header bytes by position that state the right size, if it was never filled in.
    """

    stated: int | None
    present: int
    frame_bytes: int = 1
    patches: dict[int, bytes] = field(default_factory=dict)

    @property
    def cut_off(self) -> bool:
        """Whether audio is missing. Less than one frame does not count, because some programs round the size."""
        return self.stated is not None and self.stated - self.present >= min(max(self.frame_bytes, 1), _LARGEST_FRAME)


def audio_size(path: str | Path) -> Size | None:
    """Return the stated and the present size of the audio in a file.

    Args:
        path: a WAV, RF64, W64, AIFF, CAF or AU file. Other files return None.

    Raises:
        OSError: the file cannot be read.
    """
    total = os.stat(path).st_size
    with open(path, "rb", opener=without_waiting) as file:
        head = file.read(16)
        try:
            if head[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX") and head[8:12] == b"WAVE":
                return _wave(file, total, ">" if head[:4] == b"RIFX" else "<")
            if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
                return _aiff(file, total)
            if head == _W64_RIFF:
                return _w64(file, total)
            if head[:4] == b"caff":
                return _caf(file, total)
            if head[:4] in (b".snd", b"dns."):
                return _au(head, total, ">" if head[:4] == b".snd" else "<")
        except struct.error:  # the file ends inside a header, and its decoder reports that
            return None
    return None


def _read(file: BinaryIO, position: int, layout: str) -> tuple[int, ...]:
    file.seek(position)
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _chunks(file: BinaryIO, start: int, total: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the position of the data and the stated size of each chunk, in files with 32-bit sizes."""
    position = start
    for _ in range(_MOST_CHUNKS):
        if position + 8 > total:
            return
        file.seek(position)
        name = file.read(4)
        (size,) = struct.unpack(order + "I", file.read(4))
        yield name, position + 8, size
        position += 8 + size + size % 2


# -- WAV and RF64 ------------------------------------------------------------------------------------------------


def _never_filled_in(size: int) -> bool:
    """Return whether a 32-bit size is one that recorders write before they know the real size.

    These are 0, the largest value less a header (ffmpeg to a pipe), and about half of it (SoX, arecord).
    """
    return size == 0 or size >= 0xFFFFFF00 or 0x7FFFF000 <= size <= 0x80000000


def _wave(file: BinaryIO, total: int, order: str) -> Size | None:
    frame_bytes = 1
    long_size: tuple[int, int] | None = None
    for name, position, size in _chunks(file, 12, total, order):
        if name == b"fmt ":
            frame_bytes = _read(file, position, order + "12xH")[0]
        elif name == b"ds64":
            long_size = (position + 8, _read(file, position + 8, "<Q")[0])
        elif name == b"data":
            present = total - position
            if long_size is not None and size == 0xFFFFFFFF:
                return _rf64(long_size, present, frame_bytes, file, position, total)
            if _never_filled_in(size) and size != present and not _is_empty(file, position, size, total, order):
                present -= present % max(frame_bytes, 1)
                patches = {
                    position - 4: struct.pack(order + "I", min(present, _LARGEST)),
                    4: struct.pack(order + "I", min(position + present - 8, _LARGEST)),
                }
                return Size(None, present, frame_bytes, patches if present <= _LARGEST else {})
            if present - size > _LARGEST - _MOST_AFTER:
                return Size(None, present, frame_bytes)  # a size over 4 GB, whose lower 32 bits are in the header
            return Size(size, present, frame_bytes)
    return None


def _is_empty(file: BinaryIO, position: int, size: int, total: int, order: str) -> bool:
    """Return whether a size of 0 is correct, so that only whole chunks, or nothing, follow the audio."""
    if size != 0:
        return False
    end = position
    for name, start, length in _chunks(file, position, total, order):
        if not all(32 <= letter < 127 for letter in name):
            return False
        end = start + length
    return end in (total, total - 1)


def _rf64(
    long_size: tuple[int, int], present: int, frame_bytes: int, file: BinaryIO, position: int, total: int
) -> Size:
    where, stated = long_size
    if stated == 2**64 - 1 or (stated == 0 and present and not _is_empty(file, position, 0, total, "<")):
        present -= present % max(frame_bytes, 1)
        frames = present // max(frame_bytes, 1)
        sizes = struct.pack("<QQQ", position + present - 8, present, frames)
        return Size(None, present, frame_bytes, {where - 8: sizes})
    return Size(stated, present, frame_bytes)


# -- the others --------------------------------------------------------------------------------------------------

_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_NAME_END = bytes.fromhex("f3acd3118cd100c04f8edb8a")


def _w64(file: BinaryIO, total: int) -> Size | None:
    frame_bytes = 1
    position = 40
    for _ in range(_MOST_CHUNKS):
        if position + 24 > total:
            return None
        file.seek(position)
        name = file.read(16)
        (size,) = struct.unpack("<Q", file.read(8))  # including these 24 bytes
        if name == b"fmt " + _W64_NAME_END:
            frame_bytes = _read(file, position + 24, "<12xH")[0]
        elif name == b"data" + _W64_NAME_END:
            present = total - position - 24
            if size in (0, 24, 2**64 - 1) and present > 0:
                present -= present % max(frame_bytes, 1)
                patches = {
                    position + 16: struct.pack("<Q", present + 24),
                    16: struct.pack("<Q", position + 24 + present),
                }
                return Size(None, present, frame_bytes, patches)
            return Size(max(size - 24, 0), present, frame_bytes)
        position += max(size + -size % 8, 24)
    return None


_AIFC_BYTES = {b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8, b"ulaw": 1, b"ULAW": 1, b"alaw": 1, b"ALAW": 1}
_AIFC_PCM = (b"NONE", b"sowt", b"twos", b"raw ", b"in24", b"in32", b"42ni", b"23ni")


def _aiff(file: BinaryIO, total: int) -> Size | None:
    frames = None
    frame_bytes = 0
    where = 0
    compressed = False
    for name, position, size in _chunks(file, 12, total, ">"):
        if name == b"COMM":
            channels, frames, bits = _read(file, position, ">HIH")
            file.seek(position + 18)
            kind = file.read(4) if size >= 22 else b"NONE"
            sample_bytes = (bits + 7) // 8 if kind in _AIFC_PCM else _AIFC_BYTES.get(kind, 0)
            frame_bytes = channels * sample_bytes
            compressed = sample_bytes == 0
            where = position + 2
        elif name == b"SSND":
            return _aiff_sound(total - position - 8, size, frames, frame_bytes, compressed, position, where)
    return None


def _aiff_sound(
    present: int, size: int, frames: int | None, frame_bytes: int, compressed: bool, position: int, where: int
) -> Size:
    unfilled = size in (0, 8, 0xFFFFFFFF) and frames in (0, 0xFFFFFFFF)
    if unfilled and present >= max(frame_bytes, 1) and frame_bytes and not compressed:
        present -= present % frame_bytes
        patches = {
            position - 4: struct.pack(">I", min(present + 8, _LARGEST)),
            where: struct.pack(">I", present // frame_bytes),
            4: struct.pack(">I", min(position + present, _LARGEST)),
        }
        return Size(None, present, frame_bytes, patches if present + 8 <= _LARGEST else {})
    stated = max(size - 8, 0)
    if frames and frame_bytes:
        stated = max(stated, frames * frame_bytes) if size not in (0, 8) else frames * frame_bytes
    return Size(stated, present, frame_bytes or 1)


def _caf(file: BinaryIO, total: int) -> Size | None:
    frame_bytes = 1
    position = 8
    for _ in range(_MOST_CHUNKS):
        if position + 12 > total:
            return None
        file.seek(position)
        name = file.read(4)
        (size,) = struct.unpack(">q", file.read(8))
        if name == b"desc":
            frame_bytes = _read(file, position + 12, ">16xI")[0] or 1
        elif name == b"data":
            present = total - position - 12
            if size in (-1, 0) and present > 4:
                present -= (present - 4) % frame_bytes  # the first four bytes are an edit count
                return Size(None, present, frame_bytes, {position + 4: struct.pack(">q", present)})
            return Size(max(size, 0), present, frame_bytes)
        if size < 0:
            return None
        position += 12 + size
    return None


def _au(head: bytes, total: int, order: str) -> Size:
    position, size, _ = struct.unpack(order + "III", head[4:16])
    present = max(total - position, 0)
    if size in (0, 0xFFFFFFFF) and present:
        patches = {8: struct.pack(order + "I", min(present, _LARGEST - 1))}
        return Size(None, present, 1, patches if present < _LARGEST else {})
    return Size(size, present)


def ogg_lacks_end(path: str | Path) -> bool:
    """Return whether a file is an Ogg stream whose last page is not marked as the last.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb", opener=without_waiting) as file:
        if file.read(4) != b"OggS":
            return False
        file.seek(max(0, os.stat(path).st_size - _OGG_PAGE))
        end = file.read()
    header = end[end.rfind(b"OggS") :]
    return not (header.startswith(b"OggS") and len(header) >= 27 and header[5] & 4)
