"""Hold the frames of many notes as one set of arrays: what the network of `instruments.latent` is trained on.

Levels are kept in steps above a note's floor, which is 80 dB below its loudest level. Frames may be thinned: they stay
dense after the onset and after the release, and become sparse where little happens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from instruments.latent import features
from instruments.latent.frames import LEVELS, SILENT_DB, SLOTS, NoteFrames

STEP_DB = 0.5
LONG_TICKS = 400
"""Notes that are held for longer can be encoded."""
MOST_CENTS = 120


@dataclass(frozen=True)
class InstrumentNotes:
    """The notes of one instrument.

    Attributes:
        name: of the instrument.
        notes: all of them.
        held_out: whether the instrument is kept from training.
        held_out_pitches: pitches of it that are kept from training.
    """

    name: str
    notes: list[NoteFrames]
    held_out: bool = False
    held_out_pitches: frozenset[float] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Dataset:
    """Frames of notes of several instruments.

    Attributes:
        names: of the instruments.
        instruments_held_out: whether each of them is kept from training, (instruments,).
        step_db: of the levels.
        levels: in steps above the note's floor, (frames, LEVELS).
        ticks: of the frames, (frames,).
        cents: distance to the note's pitch, (frames,).
        weights: how many frames of the note each one stands for, (frames,).
        offsets: first frame of each note, and the number of all frames, (notes + 1,).
        instruments: of the notes, (notes,).
        held_out: whether each note is kept from training, (notes,).
        table: pitch, velocity, release, end, inharmonicity and floor in dB of each note, (notes, 6).
        slot_cents: see `NoteFrames`, (notes, SLOTS).
    """

    names: list[str]
    instruments_held_out: NDArray[np.bool_]
    step_db: float
    levels: NDArray[np.uint8]
    ticks: NDArray[np.int16]
    cents: NDArray[np.int8]
    weights: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    instruments: NDArray[np.int32]
    held_out: NDArray[np.bool_]
    table: NDArray[np.float64]
    slot_cents: NDArray[np.int16]

    @property
    def notes(self) -> int:
        """Return the number of notes."""
        return len(self.offsets) - 1

    def note(self, index: int) -> NoteFrames:
        """Return one note; levels at its floor are silent."""
        chosen = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        pitch, velocity, release, end, inharmonicity, floor = self.table[index]
        steps = self.levels[chosen].astype(np.float64)
        return NoteFrames(
            pitch=float(pitch),
            velocity=float(velocity),
            release=int(release),
            end=int(end),
            ticks=self.ticks[chosen].astype(np.int64),
            levels=np.where(steps > 0, floor + self.step_db * steps, SILENT_DB),
            cents=self.cents[chosen].astype(np.float64),
            inharmonicity=float(inharmonicity),
            slot_cents=self.slot_cents[index].astype(np.float64),
        )


def dataset_of(
    instruments: Iterable[InstrumentNotes], step_db: float = STEP_DB, thinning: float = 0.0, seed: int = 0
) -> Dataset:
    """Return the data of some instruments. Notes of fewer than two frames are left out.

    Args:
        instruments: with their notes.
        step_db: of the levels.
        thinning: least distance of frames, as a share of the time since the onset or the release; 0 keeps all.
        seed: of the choice of frames.
    """
    rng = np.random.default_rng(seed)
    names = []
    instruments_held_out = []
    levels, ticks, cents, weights, slots = [], [], [], [], []
    rows: list[tuple[float, ...]] = []
    owners = []
    held_out = []
    for owner, instrument in enumerate(instruments):
        names.append(instrument.name)
        instruments_held_out.append(instrument.held_out)
        for note in instrument.notes:
            if len(note.ticks) < 2:
                continue
            kept = thinned(note, thinning, rng)
            floor = features.floor_of(note)
            steps = np.round((note.levels[kept].astype(np.float64) - floor) / step_db)
            levels.append(np.clip(steps, 0, 255).astype(np.uint8))
            ticks.append(np.minimum(note.ticks[kept], 32767).astype(np.int16))
            cents.append(np.clip(np.round(note.cents[kept]), -MOST_CENTS, MOST_CENTS).astype(np.int8))
            weights.append(np.minimum(np.diff(kept, append=len(note.ticks)), 255).astype(np.uint8))
            slots.append(np.round(note.slot_cents).astype(np.int16))
            rows.append((note.pitch, note.velocity, note.release, note.end, note.inharmonicity, floor))
            owners.append(owner)
            held_out.append(instrument.held_out or note.pitch in instrument.held_out_pitches)
    return Dataset(
        names=names,
        instruments_held_out=np.array(instruments_held_out, bool),
        step_db=step_db,
        levels=np.concatenate([np.zeros((0, LEVELS), np.uint8), *levels]),
        ticks=np.concatenate([np.zeros(0, np.int16), *ticks]),
        cents=np.concatenate([np.zeros(0, np.int8), *cents]),
        weights=np.concatenate([np.zeros(0, np.uint8), *weights]),
        offsets=np.cumsum([0, *map(len, ticks)]).astype(np.int64),
        instruments=np.array(owners, np.int32),
        held_out=np.array(held_out, bool),
        table=np.array(rows, np.float64).reshape(-1, 6),
        slot_cents=np.array(slots, np.int16).reshape(-1, SLOTS),
    )


def thinned(note: NoteFrames, thinning: float, rng: np.random.Generator, longest: float = 48.0) -> NDArray[np.int64]:
    """Return the indexes of the frames to keep. The first one always stays.

    Args:
        note: whose frames.
        thinning: least distance of frames, as a share of the time since the onset or the release.
        rng: shifts the choice, so that many notes together have all times.
        longest: distance that is always enough, in ticks.
    """
    since = np.where(note.ticks < note.release, note.ticks, note.ticks - note.release)
    gaps = np.clip(thinning * since, 1, longest)
    places = np.floor(np.cumsum(np.diff(note.ticks, prepend=note.ticks[:1]) / gaps) + rng.random())
    return np.flatnonzero(np.diff(places, prepend=-1) > 0)
