"""Read a folder of one-shots, check every file, and say what was understood of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from instruments.training.contract import RATE, FamilyTrainer, OneShot, Show
from instruments.training.labels import Label, Labels
from instruments.training.names import MIDDLE_C, described, kind_of
from instruments.training.pitch import measured_pitch
from neural_fx.arrays import Audio
from neural_fx.audio import SUFFIXES, open_audio, resample
from neural_fx.errors import AudioError, TrainingError
from neural_fx.inputs import printable
from neural_fx.render.search import audio_files
from neural_fx.training.channels import mix_channels
from neural_fx.values import suggestion

DEFAULT_VELOCITY = 100
SILENT = 1e-4
LONGEST_SECONDS = 60.0
OUT_OF_TUNE = 0.7
"""Semitones between a written and a measured pitch, from which on a remark is made."""
_FULL_SCALE = 0.999
_CLIPPED_RUN = 3
_AUDIBLE = 10 ** (-60 / 20)
_BLOCK = 1 << 16


@dataclass
class Entry:
    """What was understood of a file.

    Attributes:
        name: path within the folder.
        pitch, velocity, kind, instrument: of the sound.
        origins: where each of these comes from: ``table``, ``name``, ``measured`` or ``default``.
        seconds: length of the file.
        remarks: sentences about the file, which is used.
        problem: why it is left out; empty if it is used.
        shot: the sound; None if it is left out.
    """

    name: str
    pitch: float | None = None
    velocity: int = DEFAULT_VELOCITY
    kind: str = ""
    instrument: str = ""
    origins: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    remarks: list[str] = field(default_factory=list)
    problem: str = ""
    shot: OneShot | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the entry for a JSON report."""
        return {
            "file": printable(self.name),
            "used": not self.problem,
            "pitch": None if self.pitch is None else round(self.pitch, 2),
            "velocity": self.velocity,
            "class": self.kind,
            "instrument": self.instrument,
            "from": self.origins,
            "seconds": round(self.seconds, 3),
            "remarks": self.remarks,
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Reading:
    """A folder that was read.

    Attributes:
        entries: one for every audio file and every row of the table.
        remarks: sentences about the folder as a whole.
    """

    entries: Sequence[Entry]
    remarks: Sequence[str]

    @property
    def shots(self) -> list[OneShot]:
        """The sounds that are used."""
        return [entry.shot for entry in self.entries if entry.shot is not None]

    def as_dict(self) -> dict[str, Any]:
        """Return everything for a JSON report."""
        used = len(self.shots)
        return {
            "files": [entry.as_dict() for entry in self.entries],
            "used": used,
            "left_out": len(self.entries) - used,
            "remarks": list(self.remarks),
        }


def read_folder(
    folder: Path,
    trainer: FamilyTrainer,
    labels: Labels | None = None,
    middle_c: int = MIDDLE_C,
    show: Show = lambda fraction, text: None,
) -> Reading:
    """Read a folder and its subfolders.

    Args:
        folder: of one-shots.
        trainer: says what a one-shot must have.
        labels: table that says what the files are. It comes before their names.
        middle_c: octave of MIDI note 60 in file names.
        show: shows the progress.

    Raises:
        TrainingError: the folder holds no audio files.
    """
    labels = labels or Labels()
    files = audio_files(folder)
    if not files:
        raise TrainingError(f"{folder}: holds no audio files ({', '.join(SUFFIXES)})")
    entries = []
    shifts: Counter[int] = Counter()
    for index, path in enumerate(files):
        name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
        show(index / len(files), name)
        entry = _understood(Path(name), labels.rows.get(name, Label()), trainer, folder, middle_c)
        _listen(path, entry, trainer, shifts)
        entries.append(entry)
    known = {entry.name for entry in entries}
    entries += [
        Entry(name, problem="is in the table, but not in the folder") for name in labels.rows if name not in known
    ]
    _without_duplicates(entries, trainer)
    return Reading(entries, (*labels.remarks, *_octave_remarks(shifts, middle_c)))


def _understood(path: Path, label: Label, trainer: FamilyTrainer, folder: Path, middle_c: int) -> Entry:
    """Return what the table and the name say of a file."""
    named = described(path, trainer.classes, middle_c)
    entry = Entry(path.as_posix(), instrument=label.instrument or named.instrument or folder.resolve().name.lower())
    entry.origins["instrument"] = "table" if label.instrument else "name"
    if trainer.pitched and (label.pitch is not None or named.pitch is not None):
        entry.pitch = label.pitch if label.pitch is not None else named.pitch
        entry.origins["pitch"] = "table" if label.pitch is not None else "name"
    velocity = label.velocity or named.velocity
    entry.velocity = velocity or DEFAULT_VELOCITY
    entry.origins["velocity"] = "table" if label.velocity else "name" if velocity else "default"
    if trainer.classes:
        _classify(entry, label.kind, named.kind, trainer)
    return entry


def _classify(entry: Entry, written: str, named: str, trainer: FamilyTrainer) -> None:
    """Set the class of an entry, or its problem."""
    known = ", ".join(trainer.classes)
    if written:
        folded = written.lower().replace(" ", "_").replace("-", "_")
        entry.kind = folded if folded in trainer.classes else kind_of(Path(written), trainer.classes)
        entry.origins["class"] = "table"
        if not entry.kind:
            hint = suggestion(folded, trainer.classes)
            entry.problem = f"the table says class {written!r}, which is not known{hint}; classes: {known}"
        return
    entry.kind = named
    entry.origins["class"] = "name"
    if not named:
        entry.problem = (
            "which class is it? Its name does not say. Name it like snare_01.wav, put it into a folder such as "
            f"snare, or list it in labels.csv (file,class). Classes: {known}"
        )


def _listen(path: Path, entry: Entry, trainer: FamilyTrainer, shifts: Counter[int]) -> None:
    """Read a file, check its sound, and measure what is missing."""
    try:
        audio, rate = _read(path)
    except AudioError as error:
        entry.problem = entry.problem or str(error).removeprefix(f"{path}: ")
        return
    mono = mix_channels(audio)
    entry.seconds = len(mono) / rate
    peak = float(np.abs(mono).max(initial=0.0))
    audible = np.flatnonzero(np.abs(mono) > _AUDIBLE * peak)
    sounding = (audible[-1] - audible[0] + 1) / rate if peak > SILENT else 0.0
    if entry.problem:
        return
    if peak <= SILENT:
        entry.problem = "is silent"
        return
    if sounding < trainer.least_seconds:
        entry.problem = f"sounds for {1000 * sounding:.0f} ms; expected at least {1000 * trainer.least_seconds:.0f} ms"
        return
    clipped = _clipped_runs(audio)
    if clipped:
        entry.remarks.append(f"is clipped {'once' if clipped == 1 else f'at {clipped} places'}; used as it is")
    signal: Audio = resample(mono[None], rate, RATE)[0] if rate != RATE else mono
    if trainer.pitched and not _tuned(signal, entry, shifts):
        return
    entry.shot = OneShot(entry.name, signal, entry.pitch, entry.velocity, entry.kind, entry.instrument)


def _read(path: Path) -> tuple[Audio, float]:
    with open_audio(path) as reader:
        if reader.frames > LONGEST_SECONDS * reader.sample_rate:
            seconds = reader.frames / reader.sample_rate
            raise AudioError(f"{path}: lasts {seconds:.0f} s; a one-shot lasts at most {LONGEST_SECONDS:.0f} s")
        blocks = list(reader.blocks(_BLOCK))
        return np.concatenate(blocks, axis=1), reader.sample_rate


def _clipped_runs(audio: Audio) -> int:
    """Return how often some samples in a row are at full scale."""
    runs = 0
    for channel in np.abs(audio) >= _FULL_SCALE:
        edges = np.flatnonzero(np.diff(np.concatenate(([0], channel.astype(np.int8), [0]))))
        runs += int((edges[1::2] - edges[::2] >= _CLIPPED_RUN).sum())
    return runs


def _tuned(signal: Audio, entry: Entry, shifts: Counter[int]) -> bool:
    """Measure the pitch. Return False if the file is left out because nobody knows its pitch."""
    found = measured_pitch(signal)
    if entry.pitch is None:
        if found is None:
            entry.problem = (
                "which note is it? Its name does not say, and no clear pitch was found. Name it like C4_v100.wav, or "
                "list it in labels.csv (file,pitch)"
            )
            return False
        entry.pitch = float(round(found))
        entry.origins["pitch"] = "measured"
    elif found is not None:
        off = found - entry.pitch
        shifts[round(off / 12) if abs(off - 12 * round(off / 12)) < OUT_OF_TUNE else 0] += 1
        if abs(off) > OUT_OF_TUNE:
            entry.remarks.append(
                f"is written as note {entry.pitch:g}, but sounds like {found:.1f}; the written one is used"
            )
    return True


def _octave_remarks(shifts: Counter[int], middle_c: int) -> list[str]:
    """Return a sentence if most files sound in another octave than their names say."""
    if not shifts:
        return []
    shift, count = shifts.most_common(1)[0]
    if shift == 0 or count < 3 or count < 0.6 * sum(shifts.values()):
        return []
    words = f"{abs(shift)} octave{'s' if abs(shift) > 1 else ''} {'higher' if shift > 0 else 'lower'}"
    return [f"{count} files sound {words} than their names say; try --middle-c {middle_c - shift}"]


def _without_duplicates(entries: Sequence[Entry], trainer: FamilyTrainer) -> None:
    """Leave out sounds that are the same as an earlier one."""
    used = [entry for entry in entries if entry.shot is not None]
    shots = [entry.shot for entry in used if entry.shot is not None]
    for entry, related in zip(used, trainer.related(shots), strict=True):
        if related.duplicate_of is not None:
            entry.problem = f"is the same sound as {printable(used[related.duplicate_of].name)}"
            entry.shot = None
