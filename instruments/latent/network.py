"""The network that plays notes of any timbre, in numpy: an encoder of one note, and a decoder of single frames.

The decoder has no state. Any frame of any note is computed by itself from the timbre ``z``, pitch, velocity, and the
times since onset and release. So blocks of any sizes give the same sound, and frames may be skipped.

    note:  c = silu(silu([z, note features] A) B)         once for each note
    frame: h = silu(c C + times D) * (1 + times E)
           h = h + silu(h F)
           levels, cents, alive = h G
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instruments.latent import features
from instruments.latent.frames import LEVELS, SILENT_DB, SLOTS, NoteFrames, Ticks, frame_ticks
from neural_fx.arrays import Doubles

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]

FRAME_OUTPUTS = LEVELS + 2
"""Levels, cents and whether the note still sounds."""
NOTE_OUTPUTS = SLOTS + 1
"""Cents of the slots of free partials, and the inharmonicity."""
CENTS = 50.0
SLOT_CENTS = 200.0
LEAST_INHARMONICITY = 1e-6


@dataclass(frozen=True)
class Sizes:
    """Sizes of the layers.

    Attributes:
        timbre: numbers of ``z``.
        note: units of the layers that see the note.
        frame: units of the layers that see the time.
        summary: numbers that the encoder makes of each part of a note.
        encoder: units of the encoder.
    """

    timbre: int = 16
    note: int = 192
    frame: int = 384
    summary: int = 48
    encoder: int = 256


def layer_sizes(sizes: Sizes) -> dict[str, tuple[int, int]]:
    """Return the inputs and outputs of every layer, by its name."""
    seen = sizes.timbre + features.NOTE_FEATURES
    return {
        "encoder.summary": (LEVELS, sizes.summary),
        "encoder.hidden": (features.SUMMARIES * sizes.summary + features.NOTE_FEATURES, sizes.encoder),
        "encoder.timbre": (sizes.encoder, 2 * sizes.timbre),
        "note.first": (seen, sizes.note),
        "note.second": (sizes.note, sizes.note),
        "note.outputs": (sizes.note, NOTE_OUTPUTS),
        "frame.note": (sizes.note, sizes.frame),
        "frame.time": (features.TIME_FEATURES, sizes.frame),
        "frame.gate": (features.TIME_FEATURES, sizes.frame),
        "frame.hidden": (sizes.frame, sizes.frame),
        "frame.outputs": (sizes.frame, FRAME_OUTPUTS),
    }


def weight_shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights: each layer has a matrix, (outputs, inputs), and a bias."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (inputs, outputs) in layer_sizes(sizes).items():
        shapes[f"{name}.weight"] = (outputs, inputs)
        shapes[f"{name}.bias"] = (outputs,)
    return shapes


@dataclass(frozen=True)
class DecodedFrames:
    """Frames of one note.

    Attributes:
        levels: in dB, (frames, LEVELS).
        cents: distance to the note's pitch, (frames,).
        alive: above 0 while the note sounds, (frames,).
    """

    levels: Doubles
    cents: Doubles
    alive: Doubles


@dataclass(frozen=True)
class NoteStates:
    """What each note's frames have in common.

    Attributes:
        hidden: input of the frames, (notes, note units).
        slot_cents: distances of the free partials to their slots, (notes, SLOTS).
        inharmonicity: B, (notes,).
    """

    hidden: Floats
    slot_cents: Doubles
    inharmonicity: Doubles


class LatentNetwork:
    """Encoder and decoder with their weights.

    Args:
        weights: see `weight_shapes`.

    Raises:
        ValueError: weights are missing or have other shapes.
    """

    def __init__(self, weights: Weights) -> None:
        self.sizes = _sizes_of(weights)
        for name, shape in weight_shapes(self.sizes).items():
            if name not in weights or weights[name].shape != shape:
                found = weights[name].shape if name in weights else "nothing"
                raise ValueError(f"{name}: expected weights of shape {shape}, found {found}")
        self.weights = {name: np.asarray(value, np.float32) for name, value in weights.items()}

    def encode(self, frames: NoteFrames) -> Doubles:
        """Return the timbre of a note, (timbre,).

        Args:
            frames: of a note that is held for a second or longer.
        """
        summaries = _silu(self._layer("encoder.summary", features.summary(frames))).reshape(-1)
        note = features.note_features(np.array([frames.pitch]), np.array([frames.velocity]))[0]
        hidden = _silu(self._layer("encoder.hidden", np.concatenate((summaries, note))))
        return self._layer("encoder.timbre", hidden)[: self.sizes.timbre].astype(np.float64)

    def notes(self, timbres: Doubles, pitches: Doubles, velocities: Doubles) -> NoteStates:
        """Return what all frames of each note share.

        Args:
            timbres: (notes, timbre).
            pitches: MIDI notes, (notes,).
            velocities: 1 to 127, (notes,).
        """
        seen = np.concatenate((timbres, features.note_features(pitches, velocities)), axis=1)
        hidden = _silu(self._layer("note.first", seen))
        hidden = _silu(self._layer("note.second", hidden))
        outputs = self._layer("note.outputs", hidden).astype(np.float64)
        return NoteStates(
            hidden=hidden,
            slot_cents=outputs[:, :SLOTS] * SLOT_CENTS,
            inharmonicity=np.maximum(10 ** outputs[:, SLOTS] - 1, 0) * LEAST_INHARMONICITY,
        )

    def frames(self, hidden: Floats, ticks: Doubles | Ticks, releases: Doubles | Ticks) -> DecodedFrames:
        """Return single frames of notes.

        Args:
            hidden: of the note of each frame, (frames, note units), or of one note, (1, note units).
            ticks: since the onset, (frames,); fractions are allowed.
            releases: tick of the release of each frame's note, (frames,). Infinite while it is held.
        """
        times = features.time_features(ticks, releases)
        hidden = _silu(self._layer("frame.note", hidden) + self._layer("frame.time", times))
        hidden = hidden * (1 + self._layer("frame.gate", times))
        hidden = hidden + _silu(self._layer("frame.hidden", hidden))
        outputs = self._layer("frame.outputs", hidden).astype(np.float64)
        return DecodedFrames(
            levels=features.unscaled(outputs[:, :LEVELS]),
            cents=outputs[:, LEVELS] * CENTS,
            alive=outputs[:, LEVELS + 1],
        )

    def play(self, timbre: Doubles, pitch: float, velocity: float, release: int, longest: int) -> NoteFrames:
        """Return the frames of a whole note.

        Args:
            timbre: (timbre,).
            pitch: MIDI note.
            velocity: 1 to 127.
            release: tick of the release.
            longest: tick at which the note is over at the latest.
        """
        state = self.notes(timbre[None], np.array([pitch]), np.array([velocity]))
        ticks = frame_ticks(release, longest)
        decoded = self.frames(state.hidden, ticks, np.full(len(ticks), release))
        over = np.flatnonzero((decoded.alive <= 0) & (ticks > 0))
        # One frame that says otherwise does not end a note: its successor has to agree.
        ends = [i for i in over if i + 1 == len(ticks) or decoded.alive[i + 1] <= 0]
        count = int(ends[0]) if ends else len(ticks)
        return NoteFrames(
            pitch=pitch,
            velocity=velocity,
            release=release,
            end=int(ticks[count]) if ends else longest,
            ticks=ticks[:count],
            levels=np.maximum(decoded.levels[:count], SILENT_DB),
            cents=decoded.cents[:count],
            inharmonicity=float(state.inharmonicity[0]),
            slot_cents=state.slot_cents[0],
        )

    def _layer(self, name: str, values: Doubles | Floats) -> Floats:
        return np.asarray(values, np.float32) @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]


def _sizes_of(weights: Weights) -> Sizes:
    """Return the sizes that weights have."""
    try:
        return Sizes(
            timbre=len(weights["encoder.timbre.bias"]) // 2,
            note=len(weights["note.first.bias"]),
            frame=len(weights["frame.note.bias"]),
            summary=len(weights["encoder.summary.bias"]),
            encoder=len(weights["encoder.hidden.bias"]),
        )
    except KeyError as error:
        raise ValueError(f"{error.args[0]}: weights are missing") from None


def _silu(values: Floats) -> Floats:
    # exp of large numbers would overflow; silu is 0 to within 1e-11 there.
    return np.asarray(values / (1 + np.exp(-np.maximum(values, np.float32(-30)))))
