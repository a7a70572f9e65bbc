"""Decide which files a render reads and which it writes."""

from __future__ import annotations

import fnmatch
import glob
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from neural_fx.audio import SUFFIXES
from neural_fx.errors import AudioError, reason
from neural_fx.files import is_folder, names_folder, same_file

FORMATS = {
    ".wav": "WAV",
    ".flac": "FLAC",
    ".aif": "AIFF",
    ".aiff": "AIFF",
    ".ogg": "OGG",
    ".mp3": "MP3",
    ".w64": "W64",
    ".caf": "CAF",
    ".rf64": "RF64",
    ".au": "AU",
}
LOSSY = ("OGG", "MP3")


def plan(inputs: Iterable[str | Path], out: str | Path) -> list[tuple[Path, Path]]:
    """Return pairs of input and output files.

    In an output folder, files keep their names and subfolders. A lossy input (mp3, ogg) becomes a `.wav`.

    Args:
        inputs: files, folders and glob patterns. Folders are searched for audio with their subfolders. The output
            folder is left out of the search.
        out: a file if there is one input file, else a folder. A name that ends in a slash is a folder.

    Raises:
        AudioError: no input is found, two inputs have one output, an output is also an input, or the output format is
            unknown.
    """
    given = list(inputs)
    search = _Search(Path(out), several=len(given) > 1)
    found: list[tuple[Path, Path]] = []
    missing: list[AudioError] = []
    for name in given:
        try:
            found += search.find(name)
        except AudioError as error:
            # One missing file must not stop the others, so it becomes a render that fails.
            missing.append(error)
            found.append((Path(name), Path(Path(name).name)))
    if missing and len(missing) == len(found):
        raise missing[0]
    if not found:
        raise AudioError("no audio files found in " + ", ".join(map(str, given)))
    out_path = Path(out)
    if len(found) == 1 and not is_folder(given[0]) and not names_folder(out):
        file_format(out_path)
        pairs = [(found[0][0], out_path)]
    else:
        if os.path.isfile(out_path):
            raise AudioError(f"{out_path}: is a file; several inputs need a folder")
        pairs = [(source, out_path / _mirrored(relative)) for source, relative in found]
    return _checked(pairs)


def _checked(pairs: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Return the pairs without duplicates. Raise if an output is also an input, or belongs to two inputs."""
    inputs = {os.path.realpath(source): source for source, _ in pairs}
    identities = dict(_identities(inputs.values()))
    taken: dict[str, Path] = {}
    kept = []
    for source, target in pairs:
        place = os.path.realpath(target)
        replaced = inputs.get(place) or next((identities[i] for i, _ in _identities([target]) if i in identities), None)
        if replaced is not None:
            own = same_file(replaced, source)
            raise AudioError(
                f"{source}: would be overwritten by its own output; choose another --out"
                if own
                else f"{replaced}: would be overwritten by the output of {source}; choose another --out"
            )
        if place not in taken:
            kept.append((source, target))
        elif os.path.realpath(taken[place]) != os.path.realpath(source):
            raise AudioError(f"{taken[place]} and {source} would both be written to {target}")
        taken.setdefault(place, source)
    return kept


def _identities(paths: Iterable[Path]) -> Iterator[tuple[tuple[int, int], Path]]:
    """Yield the device and inode of the files that exist. Hard links and other spellings of a name share them."""
    for path in paths:
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            continue
        yield (found.st_dev, found.st_ino), path


def _mirrored(relative: Path) -> Path:
    format = FORMATS.get(relative.suffix.lower())
    return relative.with_suffix(".wav") if format is None or format in LOSSY else relative


def file_format(path: Path) -> str:
    """Return libsndfile's name for the format of an output file.

    Raises:
        AudioError: the suffix is missing or unknown. Lists the known ones.
    """
    format = FORMATS.get(path.suffix.lower())
    if format is None:
        raise AudioError(f"{path}: unknown output format {path.suffix!r}; known: {', '.join(FORMATS)}")
    return format


def audio_files(folder: Path) -> list[Path]:
    """Return the audio files in a folder and its subfolders, sorted by name.

    Hidden files and folders are left out. Links to folders are followed once.
    """
    return sorted(_Search(None, several=False).in_folder(folder))


@dataclass
class _Search:
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
        one = _Search(self.out, several=False)
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
