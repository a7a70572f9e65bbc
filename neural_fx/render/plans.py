"""Decide which files a render reads and which it writes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from neural_fx.errors import AudioError
from neural_fx.files import is_folder, names_folder, same_file
from neural_fx.render.search import Search

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
    search = Search(Path(out), several=len(given) > 1)
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
