"""File names from the network: only inside the media folders, no links out of them, nothing overwritten."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bridge.errors import BridgeError


class Media:
    """Folders that the network may name files in.

    Args:
        folders: none: no file can be named at all.
        overwrite: whether existing files may be replaced.
    """

    def __init__(self, folders: Sequence[Path] = (), overwrite: bool = False) -> None:
        self.folders = [Path(folder).resolve() for folder in folders]
        self.overwrite = overwrite

    @property
    def base(self) -> Path:
        """What paths in boards from the network are relative to: the first folder."""
        return self.folders[0] if self.folders else Path.cwd()

    def holds(self, path: Path) -> bool:
        """Whether a file is in one of the folders."""
        return any(_resolved(path).is_relative_to(folder) for folder in self.folders)

    def existing(self, name: str) -> Path:
        """A file that is there, in the first folder that has it.

        Raises:
            BridgeError: there is none, or the name leads out of the folders.
        """
        for place in self._places(name):
            if os.path.isfile(place):  # unlike Path.is_file, without an error for names that are too long
                return place
        raise BridgeError(f"no file {name!r} in the media folders")

    def new(self, name: str) -> Path:
        """A file to write, in the first folder.

        Raises:
            BridgeError: it exists and may not be replaced, its folder is missing, or the name leads out.
        """
        place = self._places(name)[0]
        if os.path.lexists(place) and not self.overwrite:
            raise BridgeError(f"{name!r} exists already; the worker was not started with --overwrite")
        if os.path.isdir(place):
            raise BridgeError(f"{name!r} is a folder; name the file to write")
        if not os.path.isdir(place.parent):
            raise BridgeError(f"{name!r}: no such folder among the media folders")
        return place

    def _places(self, name: str) -> list[Path]:
        if not self.folders:
            raise BridgeError("the worker has no media folders; start it with --media DIR")
        if "\0" in name or len(name) > 1024:
            raise BridgeError("that is no file name")
        places = [_resolved(folder / name) for folder in self.folders]
        inside = [p for p, folder in zip(places, self.folders, strict=True) if p.is_relative_to(folder) and p != folder]
        if not inside:
            raise BridgeError(f"{name!r} leads out of the media folders")
        return inside


def _resolved(path: Path) -> Path:
    """Return the path without links. Unlike `Path.resolve`, raises no error for links in a circle."""
    return Path(os.path.realpath(path))
