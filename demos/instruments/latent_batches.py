"""Choose notes and frames to train the network of `instruments.latent` on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from demos.instruments import frame_cache
from demos.instruments.frame_cache import CachedNote
from instruments.latent import features
from instruments.latent.frames import HARMONICS, LEVELS, NoteFrames
from instruments.latent.network import CENTS, LEAST_INHARMONICITY, SLOT_CENTS
from instruments.latent.parameters import HIGHEST_HZ
from instruments.latent.pitch import midi_to_hz

Item = TypeVar("Item")

ENCODED = 3
"""Notes whose timbres are averaged, at most."""
AFTER_END = 0.12
"""Share of the frames that are taken after the end of the note."""
LONGEST_AFTER = 200
MOST_CENTS = 70


@dataclass
class Wanted:
    """Frames that the decoder should make.

    Attributes:
        notes: note features, (notes, NOTE_FEATURES).
        times: (notes, frames, TIME_FEATURES).
        levels: wanted, scaled, (notes, frames, LEVELS).
        floors: scaled, (notes,).
        cents: wanted, (notes, frames).
        alive: 1 before the end of the note, else 0, (notes, frames).
        audible: whether each harmonic is below the highest frequency, (notes, HARMONICS).
        slot_cents: wanted, (notes, SLOTS).
        slots_used: (notes, SLOTS).
        inharmonicities: wanted, (notes,).
    """

    notes: torch.Tensor
    times: torch.Tensor
    levels: torch.Tensor
    floors: torch.Tensor
    cents: torch.Tensor
    alive: torch.Tensor
    audible: torch.Tensor
    slot_cents: torch.Tensor
    slots_used: torch.Tensor
    inharmonicities: torch.Tensor


@dataclass
class Batch:
    """Notes to encode, and frames of other notes of the same programs to decode.

    Attributes:
        programs: of the notes, (notes,).
        summaries: (notes, ENCODED, SUMMARIES, LEVELS).
        encoded: note features of these, (notes, ENCODED, NOTE_FEATURES).
        weights: of these in the mean, (notes, ENCODED).
        wanted: to decode.
    """

    programs: np.ndarray
    summaries: torch.Tensor
    encoded: torch.Tensor
    weights: torch.Tensor
    wanted: Wanted


class Data:
    """Training notes by program, read as they are extracted.

    Args:
        folder: of one SoundFont's frames.
        seed: of the choice of notes.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(seed)
        self.read: set[Path] = set()
        self.notes: dict[int, list[CachedNote]] = {}
        self.long: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}

    def refresh(self) -> int:
        """Read files that are new and return how many notes there are."""
        for program in range(128):
            for part in frame_cache.PARTS:
                path = frame_cache.frames_path(self.folder, program, part)
                if path in self.read or frame_cache.program_held_out(program) or not path.is_file():
                    continue
                self.read.add(path)
                self._take([n for n in frame_cache.load_frames(self.folder, program, part) if not n.pitch_held_out])
        return sum(len(notes) for notes in self.notes.values())

    def _take(self, notes: list[CachedNote]) -> None:
        for note in notes:
            self.notes.setdefault(note.program, []).append(note)
            if note.is_long:
                self.long.setdefault(note.program, []).append(encoder_inputs(note))

    def batch(self, notes: int, frames: int) -> Batch:
        """Return random notes.

        Args:
            notes: how many.
            frames: of each.
        """
        programs = [program for program in self.notes if program in self.long]
        chosen = self.rng.choice(programs, notes)
        encoded = [[self._any(self.long[p]) for _ in range(ENCODED)] for p in chosen]
        used = (np.arange(ENCODED) < self.rng.integers(1, ENCODED + 1, notes)[:, None]).astype(np.float32)
        return Batch(
            programs=chosen,
            summaries=tensor(np.stack([[item[0] for item in row] for row in encoded])),
            encoded=tensor(np.stack([[item[1] for item in row] for row in encoded])),
            weights=tensor(used / used.sum(axis=1, keepdims=True)),
            wanted=wanted_frames([self._any(self.notes[p]).frames for p in chosen], frames, self.rng),
        )

    def _any(self, items: list[Item]) -> Item:
        return items[int(self.rng.integers(len(items)))]


def wanted_frames(notes: list[NoteFrames], frames: int, rng: np.random.Generator) -> Wanted:
    """Return random frames of notes.

    Args:
        notes: to take them from.
        frames: of each note.
        rng: makes the choice.
    """
    count = len(notes)
    ticks = np.zeros((count, frames), np.int64)
    levels = np.zeros((count, frames, LEVELS), np.float32)
    cents = np.zeros((count, frames), np.float32)
    floors = np.array([features.floor_of(note) for note in notes])
    for i, note in enumerate(notes):
        index = rng.integers(0, len(note.ticks), frames)
        ticks[i] = note.ticks[index]
        levels[i] = np.maximum(note.levels[index], floors[i])
        cents[i] = np.clip(note.cents[index], -MOST_CENTS, MOST_CENTS)
        after = rng.random(frames) < AFTER_END
        ticks[i, after] = note.end + rng.integers(0, LONGEST_AFTER, after.sum())
        levels[i, after] = floors[i]
    ends = np.array([note.end for note in notes])
    releases = np.array([note.release for note in notes])
    times = features.time_features(ticks.reshape(-1), np.repeat(releases, frames))
    pitches = np.array([note.pitch for note in notes])
    harmonic_hz = midi_to_hz(0) * 2 ** (pitches[:, None] / 12) * np.arange(1, HARMONICS + 1)
    slot_cents = np.stack([note.slot_cents for note in notes])
    stiffness = np.array([note.inharmonicity for note in notes])
    return Wanted(
        notes=tensor(features.note_features(pitches, np.array([note.velocity for note in notes]))),
        times=tensor(times.reshape(count, frames, -1)),
        levels=tensor(features.scaled(levels)),
        floors=tensor(features.scaled(floors)),
        cents=tensor(cents / CENTS),
        alive=tensor(ticks < ends[:, None]),
        audible=tensor(harmonic_hz < HIGHEST_HZ),
        slot_cents=tensor(slot_cents / SLOT_CENTS),
        slots_used=tensor(slot_cents != 0),
        inharmonicities=tensor(np.log10(stiffness / LEAST_INHARMONICITY + 1)),
    )


def encoder_inputs(note: CachedNote) -> tuple[np.ndarray, np.ndarray]:
    """Return the summary and the note features of a long note."""
    frames = note.frames
    seen = features.note_features(np.array([frames.pitch]), np.array([frames.velocity]))[0]
    return features.summary(frames).astype(np.float32), seen


def tensor(values: np.ndarray) -> torch.Tensor:
    """Return an array as a float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
