"""What a trained network is compared with: the nearest recorded note, the mean of all programs, a sine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from instruments.latent import features
from instruments.latent.frames import HARMONICS, LEVELS, SILENT_DB, NoteFrames


def levels_at(note: NoteFrames, like: NoteFrames) -> np.ndarray:
    """Return a note's levels at the frames of another one with about the same release, (frames, LEVELS).

    Args:
        note: whose levels.
        like: whose frames.
    """
    index = np.clip(np.searchsorted(note.ticks, like.ticks), 0, len(note.ticks) - 1)
    levels = note.levels[index].astype(np.float64)
    levels[like.ticks >= note.end] = SILENT_DB
    return levels


def nearest(recorded: list[NoteFrames], note: NoteFrames) -> NoteFrames:
    """Return the recorded note with the nearest pitch, velocity and length, moved to a note's pitch.

    Args:
        recorded: notes of the same program.
        note: the wanted one.
    """

    def farness(other: NoteFrames) -> tuple[bool, float, float]:
        unlike = abs(other.release - note.release) > 40
        return unlike, abs(other.pitch - note.pitch), abs(other.velocity - note.velocity)

    found = min(recorded, key=farness)
    moved = replace(found, pitch=note.pitch, levels=found.levels.astype(np.float64))
    if abs(found.release - note.release) <= 40:
        return moved
    return replace(note, levels=levels_at(found, note), inharmonicity=found.inharmonicity, slot_cents=found.slot_cents)


def mean(recorded: list[NoteFrames], note: NoteFrames) -> NoteFrames:
    """Return the mean level of many notes of other programs, with the partials of none.

    Args:
        recorded: notes with the same pitch, velocity and length.
        note: whose frames to use.
    """
    levels = np.mean([np.maximum(levels_at(other, note), features.floor_of(other)) for other in recorded], axis=0)
    return replace(note, levels=levels, cents=np.zeros(len(note.ticks)), inharmonicity=0.0)


def sine(note: NoteFrames) -> NoteFrames:
    """Return a sine with the pitch and the power of a note."""
    levels = np.full((len(note.ticks), LEVELS), SILENT_DB)
    powers = 10 ** (note.levels[:, :HARMONICS].astype(np.float64) / 10)
    levels[:, 0] = 10 * np.log10(powers.sum(axis=1))
    return replace(note, levels=levels)
