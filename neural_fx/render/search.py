"""Search folders and patterns for audio files."""

from __future__ import annotations

import fnmatch
import glob
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from neural_fx.audio import SUFFIXES
from neural_fx.errors import AudioError, reason
from neural_fx.files import is_folder


def audio_files(folder: Path) -> list[Path]:
    """Return the audio files in a folder and its subfolders, sorted by name.

    Hidden files and folders are left out. Links to folders are followed once.
    """
    return sorted(Search(None, several=False).in_folder(folder))


@dataclass
class Search:
    """A search for input files, which leaves out the output folder.

    Attributes:
        out: the output folder, which need not exist; None if there is none.
        several: whether more than one input was given.
    """

    out: Path | None
    several: bool

    def find(self, given: str | Path) -> list[tuple[Path, Path]]:
        """Return the files of an input, each with its path inside the output folder.

        Args:
            given: a file, a folder or a pattern.
        """
        path = Path(given)
        if is_folder(path):
            if self.several and self._is_out(path):
                warnings.warn(f"{path}: is the output folder, left out of the input", stacklevel=2)
                return []
            return [(file, file.relative_to(path)) for file in sorted(self.in_folder(path))]
        if os.path.lexists(path):
            return [(path, Path(path.name))]
        return self._matches(str(given))

    def _matches(self, pattern: str) -> list[tuple[Path, Path]]:
        root = _fixed_part(pattern)
        # A pattern such as in/** also matches files that an earlier run wrote to in/out.
        out = self.out if self.out is not None and is_folder(self.out) and _is_inside(self.out, root) else None
        if "**" in Path(pattern).parts:
            matches = [Path(match) for match in self._recursive_matches(pattern)]
        else:
            matches = [Path(match) for match in sorted(glob.glob(pattern))]
        if out is not None:
            matches = [match for match in matches if not _is_inside(match, out, or_same=True)]
        if not matches:
            raise AudioError(f"{pattern}: no such file, folder, or match")
        one = Search(self.out, several=False)
        return list(dict.fromkeys(pair for match in matches for pair in one.find(match)))

    def _recursive_matches(self, pattern: str) -> list[Path]:
        """Return the files that a pattern with ``**`` matches.

        `glob` is not used, because it follows every link. Two links to folders above make it search for hours.
        """
        parts = Path(pattern).parts
        first = parts.index("**")
        tail = parts[first:]
        bases = [Path(base) for base in sorted(glob.glob(str(Path(*parts[:first]))))]
        files = [(file, file.relative_to(base).parts) for base in bases for file in self.in_folder(base, False)]
        if tail[-1] in ("*", "**"):
            files = [(file, below) for file, below in files if file.suffix.lower() in SUFFIXES]
        found = [file for file, below in files if _matches_parts(below, tail)]
        # If the pattern matches no file, it may match folders, as in/**/takes does.
        found = found or [
            file for file, below in files if file.suffix.lower() in SUFFIXES and _matches_parts(below, (*tail, "**"))
        ]
        return sorted(found)

    def _is_out(self, folder: Path) -> bool:
        return self.out is not None and os.path.realpath(folder) == os.path.realpath(self.out)

    def in_folder(self, root: Path, audio_only: bool = True) -> Iterator[Path]:
        """Yield the files in a folder and its subfolders.

        Hidden files and folders are left out. A folder is searched once, even if several links lead to it.

        Args:
            root: the folder.
            audio_only: whether to leave out files without a suffix of audio.
        """
        seen = {os.path.realpath(root)}
        if self.out is not None and not self._is_out(root):
            seen.add(os.path.realpath(self.out))
        waiting = [root]
        links: list[Path] = []
        while waiting or links:
            # Folders come before links, so that a file is found under its own name.
            folder = waiting.pop() if waiting else links.pop(0)
            if folder.is_symlink() and folder != root:
                real = os.path.realpath(folder)
                if real in seen or _is_inside(root, Path(real), or_same=True):
                    continue  # a link to a folder above would make a loop
                seen.add(real)
            for entry in _entries(folder):
                if entry.name.startswith("."):
                    continue
                path = folder / entry.name
                if not _is_folder_entry(entry):
                    if not audio_only or path.suffix.lower() in SUFFIXES:
                        yield path
                elif entry.is_symlink():
                    links.append(path)
                elif (real := os.path.realpath(path)) not in seen:
                    seen.add(real)
                    waiting.append(path)
            links.sort()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        warnings.warn(f"{folder}: cannot be searched: {reason(error)}", stacklevel=2)
        return []


def _is_folder_entry(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _fixed_part(pattern: str) -> Path:
    """Return the folder of a pattern before its first wildcard."""
    parts = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def _matches_parts(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern, where ``**`` matches any number of parts."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        if len(pattern) == 1:
            return True
        return any(_matches_parts(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatch(parts[0], pattern[0]) and _matches_parts(parts[1:], pattern[1:])


def _is_inside(path: Path, folder: Path, or_same: bool = False) -> bool:
    real = Path(os.path.realpath(path))
    around = Path(os.path.realpath(folder))
    return (or_same or real != around) and real.is_relative_to(around)
