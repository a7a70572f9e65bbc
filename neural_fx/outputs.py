"""Check that an output file may be written: it must not replace an input, nor another file without ``--overwrite``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from neural_fx.errors import AudioError, NeuralFXError, reason
from neural_fx.files import is_folder, names_folder, same_file


def check_output(target: Path, overwrite: bool, inputs: Iterable[str | Path]) -> None:
    """Check that a file may be written.

    Args:
        target: the file.
        overwrite: whether it may replace an existing file.
        inputs: files that it must not replace.

    Raises:
        AudioError: the file exists and may not be replaced, it is a folder, or its folder cannot be written. Or it is
            one of `inputs`, directly or by a link.
    """
    for name in inputs:
        if same_file(target, name):
            raise AudioError(f"{target}: is the same file as the input {name}; choose another output")
    if is_folder(target):
        raise AudioError(f"{target}: is a folder; name the file to write")
    try:
        os.lstat(target)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:  # no file can have this name; better reported now than after the work
        raise AudioError(f"{target}: cannot be written: {reason(error)}") from None
    if os.path.lexists(target) and not overwrite:
        raise AudioError(f"{target}: already exists; add --overwrite to replace it")
    problem = _folder_problem(target.absolute().parent)
    if problem is not None:
        raise AudioError(f"{target}: cannot be written: {problem}")


def _folder_problem(folder: Path) -> str | None:
    """Return why no file can be written to a folder, or None. The folder need not exist yet."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not is_folder(folder):
        return f"{folder} is not a folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"the folder {folder} does not allow it"


def output_file(out: str | Path, name: str) -> Path:
    """Return the file that an ``--out`` option names. If it names a folder, create the folder.

    Args:
        out: a file or a folder. It is a folder if it exists as one, or if its name ends in a slash.
        name: of the file inside a folder.

    Raises:
        NeuralFXError: the folder cannot be created.
    """
    if not names_folder(out):
        return Path(out)
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        text = reason(error) if isinstance(error, OSError) else str(error)
        raise NeuralFXError(f"{folder}: cannot be created: {text}") from None
    return folder / name
