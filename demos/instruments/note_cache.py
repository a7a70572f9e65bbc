"""Read the notes that `render_notes.py` writes.

A folder holds one FLAC file and one JSON index for each General MIDI program. The FLAC file is a row of slots, one for
each note of the `Plan`. The index is written last, so a program with an index is complete.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile

RATE = 48000
DEFAULT_FOLDER = Path("~/.cache/neural-fx/notes").expanduser()
LEAD_SECONDS = 0.02
"""Silence before each note, so that an onset is never at the first sample."""
GAP_SECONDS = 0.005
"""Silence at the end of each slot. The synthesiser acts up to 2 ms late."""
FADE_SECONDS = 0.01
"""Fade at the end of a slot, for releases that are longer."""

GROUPS = {
    "pianos": (*range(8),),
    "bells and mallets": (*range(8, 16), 47, *range(112, 119)),
    "organs": (*range(16, 24),),
    "guitars and basses": (*range(24, 40), *range(104, 109)),
    "strings and voices": (*range(40, 47), *range(48, 56), 110),
    "winds": (*range(56, 80), 109, 111),
    "synths": (*range(80, 104),),
    "effects": (*range(119, 128),),
}
"""General MIDI programs, from 0, by kind of sound."""


@dataclass(frozen=True)
class Note:
    """One note and its slot in the file of its program."""

    pitch: int
    velocity: int
    hold_seconds: float
    slot_start: float
    slot_seconds: float


@dataclass(frozen=True)
class Plan:
    """The notes of every program: all combinations of pitch, velocity and length."""

    pitches: tuple[int, ...] = tuple(range(24, 97, 4))
    velocities: tuple[int, ...] = (40, 80, 120)
    holds: tuple[tuple[float, float], ...] = ((0.4, 1.5), (1.5, 3.0))
    """Seconds a key is held, and seconds of the slot."""

    def notes(self) -> list[Note]:
        """Return all notes in the order of their slots."""
        found: list[Note] = []
        start = 0.0
        for pitch in self.pitches:
            for velocity in self.velocities:
                for hold, slot in self.holds:
                    found.append(Note(pitch, velocity, hold, start, slot))
                    start += slot
        return found

    @property
    def samples(self) -> int:
        """Return the length of a program's file."""
        last = self.notes()[-1]
        return round(RATE * (last.slot_start + last.slot_seconds))

    def describe(self) -> dict[str, object]:
        """Return the plan as it is kept in an index."""
        return json.loads(json.dumps(asdict(self)))


@dataclass(frozen=True)
class ProgramFiles:
    """The files of one program."""

    folder: Path
    program: int

    @property
    def audio(self) -> Path:
        """Return the path of the audio."""
        return self.folder / f"{self.program:03d}.flac"

    @property
    def index(self) -> Path:
        """Return the path of the index."""
        return self.folder / f"{self.program:03d}.json"

    @cached_property
    def scale(self) -> float:
        """Return what the file's samples are multiplied by to give the synthesiser's own level."""
        return float(json.loads(self.index.read_text(encoding="utf-8"))["scale"])

    def complete(self, plan: Plan) -> bool:
        """Return whether all notes of this plan are there."""
        if not self.audio.is_file() or not self.index.is_file():
            return False
        try:
            index = json.loads(self.index.read_text(encoding="utf-8"))
        except ValueError:
            return False
        return isinstance(index, dict) and index.get("plan") == plan.describe()

    def read(self, note: Note) -> np.ndarray:
        """Return the samples of a note's slot, (samples,), float32."""
        first = round(RATE * note.slot_start)
        count = round(RATE * note.slot_seconds)
        audio, _ = soundfile.read(self.audio, start=first, frames=count, dtype="float32")
        end = count - round(RATE * GAP_SECONDS)
        fade = round(RATE * FADE_SECONDS)
        audio[end - fade : end] *= np.linspace(1, 0, fade, dtype=np.float32)
        audio[end:] = 0
        return audio * np.float32(self.scale)


def held_out(program: int, pitch: int, share: float = 0.15) -> bool:
    """Return whether a pitch of a program is kept from training and tuning; by a hash, so the answer never changes.

    Args:
        program: General MIDI program, from 0.
        pitch: MIDI note.
        share: part of all pairs that is held out.
    """
    digest = hashlib.sha256(f"{program}/{pitch}".encode()).digest()
    return int.from_bytes(digest[:4]) < share * 2**32


def group_of(program: int) -> str:
    """Return the kind of sound of a General MIDI program, from 0."""
    return next(name for name, programs in GROUPS.items() if program in programs)
