"""Resolve file names from the network. Only regular files inside the media folders are allowed.

`Media.find` resolves every name that a peer sends. A name that is not allowed, a missing file and an unreadable file
get the same answer. So nobody can explore the disk by trying names.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path, PureWindowsPath

from bridge import limits
from bridge.errors import BridgeError
from neural_fx.files import same_file
from neural_fx.values import shown

BOARD_SUFFIXES = (".yaml", ".yml")
"""Suffixes of board files."""

BUNDLE_SUFFIXES = (".vst3", ".component")
"""Suffixes of plugins that are folders."""

_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names that Windows reserves for devices in every folder."""


class Media:
    """Folders in which the network may name files, and further permissions.

    Args:
        folders: media folders. Without any, no file can be named.
        overwrite: whether existing files may be replaced.
        plugins: whether boards from the network may run code of other people: VST3 and Audio Unit plugins, which are
            native code, and installed processors.
        kept: files that are never replaced, such as the worker's config.

    Raises:
        BridgeError: a folder has a name that the system does not allow.
    """

    def __init__(
        self,
        folders: Sequence[Path] = (),
        overwrite: bool = False,
        plugins: bool = False,
        kept: Sequence[Path] = (),
    ) -> None:
        for folder in folders:
            if "\0" in str(folder) or not _is_encodable(str(folder)):
                raise BridgeError(f"media folder {shown(str(folder))}: no folder can have this name")
        self.folders = [_resolved(Path(folder)) for folder in folders]
        self.overwrite = overwrite
        self.plugins = plugins
        self.kept = tuple(kept)
        self._given = [Path(os.path.abspath(folder)) for folder in folders]

    @property
    def base(self) -> Path:
        """Folder that paths in boards from the network are relative to: the first media folder."""
        if self.folders:
            return self.folders[0]
        try:
            return Path.cwd()
        except OSError:  # the working directory was removed
            return Path(os.sep)

    def existing(self, name: str) -> Path:
        """Return the regular, readable file with a name, from the first folder that has it.

        Raises:
            BridgeError: there is none, or the name leads out of the folders. Both have the same message.
        """
        self._check_folders()
        for folder in self.folders:
            found = self.find(name, folder)
            if found is not None:
                return found
        raise BridgeError(f"no file {shown(name)} in the media folders, or its name leads out of them")

    def find(self, name: str, folder: Path, bundle: bool = False) -> Path | None:
        """Resolve a name from the network to a regular, readable file.

        Args:
            name: relative to `folder`, or the absolute path of a file in a media folder. ``~`` has no meaning.
            folder: a media folder or a folder in one, such as that of the board file with the name.
            bundle: whether the result may be a folder, as for a VST3 plugin.

        Returns:
            The path without links, or None if the name is not allowed or there is no such file.
        """
        place = self._inside(name, folder)
        if place is None:
            return None
        if bundle and place.suffix.lower() in BUNDLE_SUFFIXES and os.path.isdir(place):
            return place
        return place if _is_readable_file(place) else None

    def new(self, name: str, suffixes: Collection[str] | None = None) -> Path:
        """Return the path of a file to write in the first folder.

        Args:
            name: relative to the first folder.
            suffixes: allowed suffixes, in lower case with the dot; None for any.

        Raises:
            BridgeError: the suffix is not allowed, the file exists and may not be replaced, its folder is missing, or
                the name leads out of the folders. The last two have the same message.
        """
        self._check_folders()
        place = self._inside(name, self.folders[0])
        if place is None or not os.path.isdir(place.parent):
            raise BridgeError(
                f"{shown(name)}: no such folder among the media folders, or the name leads out of them or is hidden"
            )
        if os.path.isdir(place):
            raise BridgeError(f"{shown(name)} is a folder; name the file to write")
        if suffixes is not None and not {Path(name).suffix.lower(), place.suffix.lower()} <= set(suffixes):
            raise BridgeError(f"{shown(name)}: the name must end in {', '.join(suffixes)}")
        if os.path.lexists(place):
            if not self.overwrite:
                raise BridgeError(f"{shown(name)} exists already; the worker was not started with --overwrite")
            if not os.path.isfile(place):
                raise BridgeError(f"{shown(name)} is not a file; choose another name")
            if any(same_file(place, kept) for kept in self.kept):
                raise BridgeError(f"{shown(name)} is a file of the worker itself; choose another name")
        return place

    def names(self, folder: str = "") -> list[str]:
        """Return the files and folders in the media folders, or in a folder in them, in alphabetical order.

        Only what `existing` would return is listed, and the folders on the way. Folders end in ``/``.

        Args:
            folder: relative to the media folders; empty for themselves.

        Returns:
            The names in the folder: at most `limits.MEDIA_NAMES`, and `limits.MEDIA_NAMES_BYTES`.

        Raises:
            BridgeError: there is no such folder, or the name leads out of them: one answer for both.
        """
        self._check_folders()
        name = folder.rstrip("/")
        places = [self._inside(name, root) if name else root for root in self.folders]
        found: set[str] = set()
        known = [place for place in places if place is not None and os.path.isdir(place)]
        if not known:
            raise BridgeError(f"no folder {shown(folder)} in the media folders, or its name leads out of them")
        for place in known:
            found.update(self._names_in(place))
        names: list[str] = []
        size = 0
        for entry in sorted(found):
            size += len(os.fsencode(entry)) + 4  # OSC pads text
            if len(names) == limits.MEDIA_NAMES or size > limits.MEDIA_NAMES_BYTES:
                break
            names.append(entry)
        return names

    def _names_in(self, place: Path) -> Iterator[str]:
        """Yield the first names in a folder without links, checked one by one."""
        try:
            with os.scandir(place) as entries:
                names = sorted(entry.name for entry in islice(entries, limits.MEDIA_SCANNED))
        except OSError:
            return
        left = limits.MEDIA_NAMES
        for name in names:
            path = self._inside(name, place)
            is_folder = path is not None and os.path.isdir(path)
            if path is not None and left and (is_folder or _is_readable_file(path)):
                left -= 1
                yield f"{name}/" if is_folder else name

    def without_folders(self, text: str) -> str:
        """Return a sentence without the paths of the media folders. Files in it keep their names inside a folder."""
        known = {str(folder) for folder in (*self.folders, *self._given) if folder != Path(folder.anchor)}
        for folder in sorted(known, key=len, reverse=True):
            text = text.replace(folder + os.sep, "")
        return text

    def _check_folders(self) -> None:
        if not self.folders:
            raise BridgeError("the worker has no media folders; start it with --media DIR")

    def _inside(self, name: str, folder: Path) -> Path | None:
        """Return the path of a name without links if it is in a media folder, else None.

        The name is normalized before the disk is read, so ``..`` never leads through a folder outside.
        """
        if not _is_plain(name):
            return None
        plain = Path(os.path.normpath(folder / name))
        if not any(_is_visible_in(plain, root) for root in (*self.folders, *self._given)):
            return None
        place = _resolved(plain)
        return place if any(_is_visible_in(place, root) for root in self.folders) else None


def _is_plain(name: str) -> bool:
    """Return whether a text is a valid file name on every system, without control characters, drives or backslashes."""
    if not name.strip() or name.endswith("/") or len(name) > limits.MEDIA_PATH_CHARACTERS:
        return False
    if "\\" in name or PureWindowsPath(name).drive:
        return False
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return False
    if os.name == "nt" and (":" in name or any(_DEVICES.match(part) for part in name.split("/"))):
        return False
    return _is_encodable(name)


def _is_encodable(name: str) -> bool:
    """Return whether a name can be encoded for the file system. Halves of surrogate pairs cannot."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def _is_visible_in(path: Path, folder: Path) -> bool:
    """Return whether a path is below a folder and no part of it is hidden, as temporary files are."""
    if path == folder or not path.is_relative_to(folder):
        return False
    return not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _is_readable_file(path: Path) -> bool:
    """Return whether a path is a regular file that can be opened. Never waits, unlike opening a pipe."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        # Another process may have replaced the file with a pipe in the meantime.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    except (OSError, ValueError):
        return False
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _resolved(path: Path) -> Path:
    """Return the path without links. Unlike `Path.resolve`, this raises no error for links in a circle."""
    return Path(os.path.realpath(path))
