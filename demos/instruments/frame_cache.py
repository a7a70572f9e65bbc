"""Read and write the frames of analysed notes, one file for each program and part.

Notes come in two parts, so that a network can be trained on the first while the second is still being analysed. Both
have all pitches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demos.instruments.note_cache import LEAD_SECONDS, RATE, Note, Plan, held_out
from instruments.latent.frames import NoteFrames
from neural_fx.files import replacing

DEFAULT_FOLDER = Path("~/.cache/neural-fx/frames").expanduser()
PARTS = ("a", "b")
LONG_TICKS = 400
HELD_OUT_PROGRAMS = 0.12
"""Share of programs that no network is trained on."""


def notes_of_part(part: str) -> list[Note]:
    """Return the notes of a part: "a" has long notes of the outer velocities and short ones of the middle one."""
    return [note for note in Plan().notes() if _in_first(note) == (part == "a")]


def _in_first(note: Note) -> bool:
    return (note.hold_seconds > 1) != (note.velocity == 80)


def program_held_out(program: int) -> bool:
    """Return whether a program is kept from training; by a hash, so the answer never changes."""
    return held_out(program, -1, HELD_OUT_PROGRAMS)


def release_sample(note: Note) -> int:
    """Return the sample of the release in a note's slot."""
    return round(RATE * (LEAD_SECONDS + note.hold_seconds))


def frames_path(folder: Path, program: int, part: str) -> Path:
    """Return the path of a program's frames."""
    return folder / f"{program:03d}.{part}.npz"


def save_frames(path: Path, notes: list[NoteFrames]) -> None:
    """Write the frames of several notes to one file.

    Args:
        path: to write.
        notes: in the order of `notes_of_part`; silent ones have no frames.
    """
    offsets = np.cumsum([0] + [len(note.ticks) for note in notes])
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            offsets=offsets,
            levels=np.concatenate([note.levels for note in notes]).astype(np.float16),
            cents=np.concatenate([note.cents for note in notes]).astype(np.float16),
            ticks=np.concatenate([note.ticks for note in notes]).astype(np.int32),
            slot_cents=np.stack([note.slot_cents for note in notes]).astype(np.float16),
            table=np.array([[n.pitch, n.velocity, n.release, n.end, n.inharmonicity] for n in notes]),
        )


@dataclass(frozen=True)
class CachedNote:
    """One note of one program."""

    program: int
    frames: NoteFrames

    @property
    def is_long(self) -> bool:
        """Return whether the note is held long enough for the encoder."""
        return self.frames.release > LONG_TICKS

    @property
    def pitch_held_out(self) -> bool:
        """Return whether this pitch is kept from training."""
        return held_out(self.program, round(self.frames.pitch))


def load_frames(folder: Path, program: int, part: str) -> list[CachedNote]:
    """Return the notes of a file that sound; levels stay float16.

    Args:
        folder: of one SoundFont.
        program: General MIDI program, from 0.
        part: "a" or "b".
    """
    with np.load(frames_path(folder, program, part)) as file:
        arrays = {name: file[name] for name in file.files}
    notes = []
    for i, (first, last) in enumerate(zip(arrays["offsets"][:-1], arrays["offsets"][1:])):
        if last - first < 2:
            continue
        pitch, velocity, release, end, inharmonicity = arrays["table"][i]
        frames = NoteFrames(
            pitch=float(pitch),
            velocity=float(velocity),
            release=int(release),
            end=int(end),
            ticks=arrays["ticks"][first:last].astype(np.int64),
            levels=arrays["levels"][first:last],
            cents=arrays["cents"][first:last].astype(np.float64),
            inharmonicity=float(inharmonicity),
            slot_cents=arrays["slot_cents"][i].astype(np.float64),
        )
        notes.append(CachedNote(program, frames))
    return notes
