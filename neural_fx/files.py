"""Write files whole or not at all, and clean up after writers that were killed.

A file is written under a temporary name in its own folder and moved to its place when it is complete. The temporary
file is locked while its writer lives. The kernel releases the lock when the process ends, however it ends, so the next
writer in that folder can tell a file in progress from one that a killed process left behind.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PREFIX = ".neural-fx-"
MARK = ".part"
_LONGEST_SUFFIX = 16


@contextmanager
def replacing(path: str | Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield a temporary path to write to, and move the file to `path` when the block ends without an error.

    The temporary file is removed on any error or interruption. Its name is short, so that `path` may have the longest
    name that the file system allows. It keeps the suffix, because some libraries choose the format by it.

    Args:
        path: the file to write.
        mode: its permissions, less the process's umask.

    Raises:
        OSError: the folder cannot be written, or nothing was written to the temporary path.
    """
    path = Path(path)
    _clean_now_and_then(path.parent)
    part = _unused_part(path)
    lock = -1
    _unfinished[part] = None
    try:
        lock = _create_locked(part, mode)
        yield part
        if fcntl is None:
            os.close(lock)  # Windows does not rename open files
            lock = -1
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
        _unfinished.pop(part, None)
        if lock >= 0:
            os.close(lock)


_unfinished: dict[Path, None] = {}
"""The temporary files of this process, of all its threads."""


def remove_unfinished() -> None:
    """Remove every file that this process is writing, because the process is about to end at once."""
    for part in list(_unfinished):
        with suppress(OSError):
            part.unlink()


def _unused_part(path: Path) -> Path:
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= _LONGEST_SUFFIX else ""
    return path.with_name(f"{PREFIX}{secrets.token_hex(8)}{MARK}{suffix}")


def _create_locked(part: Path, mode: int) -> int:
    """Create an empty file and return its descriptor, which holds the lock."""
    while True:
        lock = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
        try:
            _lock(lock)
            # Another process may have removed the file as stale before the lock was taken.
            if _is_descriptor_of(lock, part):
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _lock(descriptor: int, wait: bool = True) -> bool:
    """Lock a file and return whether that worked; file systems without locks count as locked by this process."""
    if fcntl is None:
        return wait
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _is_descriptor_of(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


_next_cleaning: dict[Path, float] = {}


def _clean_now_and_then(folder: Path) -> None:
    """Call `remove_stale_parts`, but spend at most a twentieth of the time on it: folders may hold 10,000 files."""
    if time.monotonic() < _next_cleaning.get(folder, 0.0):
        return
    began = time.thread_time()
    remove_stale_parts(folder)
    _next_cleaning[folder] = time.monotonic() + 20 * (time.thread_time() - began)


def remove_stale_parts(folder: str | Path) -> None:
    """Remove the temporary files that killed processes left in a folder.

    Leaves files whose writer is alive, and files whose lock cannot be asked for.
    """
    if fcntl is None:
        return
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(PREFIX) and MARK in entry.name]
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            _remove_if_stale(Path(folder) / name)


def _remove_if_stale(part: Path) -> None:
    # O_NONBLOCK: somebody may have made a pipe of that name, and opening one waits for its other end.
    descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if _lock(descriptor, wait=False) and _is_descriptor_of(descriptor, part):
            part.unlink()
    finally:
        os.close(descriptor)


def same_file(one: str | Path, other: str | Path) -> bool:
    """Return whether two paths name one file: by links of either kind, or by case where the file system ignores it."""
    try:
        if os.path.samefile(one, other):
            return True
    except (OSError, ValueError):  # one of them does not exist
        pass
    try:
        return os.path.realpath(one) == os.path.realpath(other)
    except (OSError, ValueError):
        return False


def names_folder(out: str | Path) -> bool:
    """Return whether an output is a folder: it exists as one, or its name ends in a slash."""
    separators = tuple(s for s in (os.sep, os.altsep, "/") if s)
    return str(out).endswith(separators) or is_folder(out)


def is_folder(path: str | Path) -> bool:
    """Return whether a path is a folder; False for names that no file can have."""
    try:
        return os.path.isdir(path)
    except ValueError:
        return False
