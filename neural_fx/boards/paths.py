"""Names of files in board files: absolute where they are read, relative to the board file where they are written."""

from __future__ import annotations

import os
from pathlib import Path


def placed(name: str, folder: Path) -> Path:
    """Return the absolute path of a file that a board names. The working directory may change later.

    Args:
        name: absolute, or relative to the folder; ``~`` is the user's home.
        folder: of the board file.
    """
    path = Path(os.path.expanduser(name))
    return path if path.is_absolute() else folder.absolute() / path


def relative(path: str | Path, folder: Path) -> str:
    """Return a path as a board file in a folder writes it.

    Both folders are taken without links, because `..` after a link leads elsewhere. The file's own name is kept.
    """
    path = Path(path).absolute()
    try:
        return Path(
            os.path.relpath(os.path.realpath(path.parent) + os.sep + path.name, os.path.realpath(folder))
        ).as_posix()
    except ValueError:  # another drive
        return str(path)
