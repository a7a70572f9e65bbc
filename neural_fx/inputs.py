"""Say what is wrong with an input file before any decoder sees it.

Decoders wait for ever on a pipe, and call a Git LFS pointer or a zip archive "format not recognised".
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from neural_fx.errors import NeuralFXError, reason

_SPECIAL = (
    (stat.S_ISFIFO, "is a pipe, not a file; write its data to a file first"),
    (stat.S_ISSOCK, "is a socket, not a file"),
    (stat.S_ISCHR, "is a device, not a file"),
    (stat.S_ISBLK, "is a device, not a file"),
)

_CONTENTS = (
    (b"version https://git-lfs.github.com/spec/", "is a Git LFS pointer, not the file itself; run `git lfs pull`"),
    (b"/annex/objects/", "is a git-annex pointer, not the file itself; run `git annex get`"),
    (b"PK\x03\x04", "is a zip archive; unpack it first"),
    (b"PK\x05\x06", "is an empty zip archive"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it first"),
    (b"Rar!\x1a\x07", "is a RAR archive; unpack it first"),
    (b"\xfd7zXZ\x00", "is compressed with xz; unpack it first"),
    (b"BZh", "is compressed with bzip2; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it first"),
    (b"%PDF", "is a PDF document"),
    (b"<", "is a web page or XML: the download probably failed"),
)


def file_problem(path: str | Path, kind: str = "a file") -> str | None:
    """Return why a path cannot be read as a regular file, or None if it can.

    Args:
        path: any path.
        kind: what was expected, such as ``an audio file``.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        link = os.path.islink(path)
        return f"is a broken link to {printable(os.readlink(path))}" if link else "no such file"
    except OSError as error:
        return f"cannot be read: {reason(error)}"
    except ValueError:
        return "no file can have this name"
    if stat.S_ISDIR(found.st_mode):
        return f"is a folder, not {kind}"
    return special_problem(path) or ("is an empty file" if found.st_size == 0 else None)


def special_problem(path: str | Path) -> str | None:
    """Return what a path is if it is neither a file nor a folder: opening a pipe would wait for its other end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    return next((problem for matches, problem in _SPECIAL if matches(mode)), None)


def content_problem(head: bytes) -> str | None:
    """Return what a file is, if its first bytes are those of something that is often taken for the file itself.

    Args:
        head: at least its first 64 bytes.
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return next((problem for magic, problem in _CONTENTS if start.startswith(magic)), None)


def file_content_problem(path: str | Path) -> str | None:
    """Return `content_problem` of a file, or why it cannot be read."""
    try:
        with open(path, "rb") as file:
            return content_problem(file.read(256))
    except OSError as error:
        return f"cannot be read: {reason(error)}"


def read_bytes(path: str | Path, most: int, error: type[NeuralFXError] = NeuralFXError, kind: str = "a file") -> bytes:
    """Return the content of a regular file.

    Args:
        path: the file.
        most: how many bytes it may have.
        error: what to raise.
        kind: what was expected, such as ``a timbre``; for the message.

    Raises:
        NeuralFXError: of type `error`: the file is missing, is a folder, pipe or device, cannot be read, or is
            too large.
    """
    problem = special_problem(path)
    if problem is not None:
        raise error(f"{path}: {problem}")
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as failure:
        raise error(f"{path}: cannot be read: {reason(failure)}") from None
    except ValueError:
        raise error(f"{path}: no file can have this name") from None
    if len(data) > most:
        limit = f"{most / 2**20:.0f} MB" if most >= 2**20 else f"{most / 2**10:.0f} KB"
        raise error(f"{path}: is over {limit}, too large for {kind}")
    return data


_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters but for tabs and line breaks, and what turns the direction of text or breaks lines unseen."""


_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Halves of characters, as JSON can have them; those left out stand for bytes that are not UTF-8."""


def printable(text: str | Path) -> str:
    r"""Return text that any terminal, JSON reader or network peer accepts.

    Bytes of a file name that are not UTF-8 become ``\xNN``, and so do characters that command a terminal.
    """
    whole = _HALVES.sub(lambda found: f"\\u{ord(found[0]):04x}", str(text))
    shown = whole.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), shown)
