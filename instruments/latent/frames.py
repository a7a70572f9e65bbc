"""Describe a note by few frames in dB: what the network reads and writes.

Three differences to `NoteParameters`:

- Frames are dense at the onset and after the release, and sparse where little happens.
- Free partials are sorted into slots by their ratio to f0, so that the same slot of two notes is the same partial.
- Noise is given as the amplitude of a sinusoid that fills one bin of `distance` as much. So one scale serves all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instruments.latent.noise import BANDS
from instruments.latent.parameters import HARMONICS, PARTIALS, NoteParameters
from instruments.latent.pitch import midi_to_hz
from instruments.latent.subbands import HOP, RATE
from neural_fx.arrays import Doubles

Ticks = NDArray[np.int64]

SLOTS = 80
LEVELS = HARMONICS + SLOTS + BANDS
"""Levels of a frame: harmonics, slots of free partials, noise bands."""
SILENT_DB = -140.0
LOWEST_RATIO = 0.03
HIGHEST_RATIO = 100.0
SLOT_RATIOS = np.geomspace(LOWEST_RATIO, HIGHEST_RATIO, SLOTS)
_SLOT_STEP = float(np.log(SLOT_RATIOS[1] / SLOT_RATIOS[0]))
_FARTHEST_SLOT = 2.5
NOISE_DB = 10 * np.log10(2 * 1.5 * RATE / 2048)
"""A bin of a Hann window of 2048 samples takes noise from 1.5 bins, and a sinusoid's power is half its square."""

_ONSET_STEPS = ((0, 20, 1), (20, 160, 4), (160, 1 << 20, 8))
_RELEASE_STEPS = ((0, 24, 2), (24, 120, 4), (120, 1 << 20, 8))
"""First tick, end and step of the frames since the onset and since the release. A tick is `HOP` samples."""


@dataclass(frozen=True)
class NoteFrames:
    """One note.

    Attributes:
        pitch: MIDI note.
        velocity: 1 to 127.
        release: tick of the release, counted from the onset.
        end: tick at which the note is over.
        ticks: of the frames, (frames,).
        levels: in dB, `SILENT_DB` or more, (frames, LEVELS).
        cents: distance of the pitch to `pitch`, (frames,).
        inharmonicity: B.
        slot_cents: distance of each slot's partial to the slot's own ratio, (SLOTS,); 0 if unused.
    """

    pitch: float
    velocity: float
    release: int
    end: int
    ticks: Ticks
    levels: Doubles
    cents: Doubles
    inharmonicity: float
    slot_cents: Doubles


def frame_ticks(release: int, end: int) -> Ticks:
    """Return the ticks of a note's frames, (frames,).

    Args:
        release: tick of the release.
        end: tick at which the note is over.
    """
    before = _steps(_ONSET_STEPS, min(release, end))
    after = release + _steps(_RELEASE_STEPS, max(end - release, 0))
    return np.concatenate((before, after))


def frames_of(parameters: NoteParameters, pitch: float, velocity: float, release_sample: int) -> NoteFrames:
    """Return the frames of a note.

    Args:
        parameters: of the note.
        pitch: MIDI note.
        velocity: 1 to 127.
        release_sample: sample of the release in the note.
    """
    release = max(round((release_sample - parameters.onset) / HOP), 1)
    ticks = frame_ticks(release, parameters.frames)
    f0 = float(np.median(parameters.f0)) if parameters.frames else midi_to_hz(pitch)
    slots, slot_cents = _placed(parameters, f0)
    partials = np.zeros((len(ticks), SLOTS))
    for i, slot in slots.items():
        partials[:, slot] = parameters.partials[ticks, i]
    levels = np.concatenate((parameters.harmonics[ticks], partials, parameters.noise[ticks]), axis=1)
    levels = 20 * np.log10(np.maximum(levels, 10 ** (SILENT_DB / 20)))
    levels[:, HARMONICS + SLOTS :] += NOISE_DB
    cents = 1200 * np.log2(parameters.f0[ticks] / midi_to_hz(pitch))
    return NoteFrames(
        pitch=pitch,
        velocity=velocity,
        release=release,
        end=parameters.frames,
        ticks=ticks,
        levels=np.maximum(levels, SILENT_DB),
        cents=cents,
        inharmonicity=parameters.inharmonicity,
        slot_cents=slot_cents,
    )


def parameters_of(frames: NoteFrames, samples: int, onset: int, audible_db: float = -120.0) -> NoteParameters:
    """Return the parameters that play these frames, with all phases 0.

    Args:
        frames: of a note.
        samples: length of the whole note.
        onset: first sample that sounds.
        audible_db: lower levels become exact silence.
    """
    end = min(onset + frames.end * HOP, samples)
    count = -(-(end - onset) // HOP) + 1
    at = np.arange(count)
    levels = np.zeros((count, LEVELS))
    cents = np.zeros(count)
    if len(frames.ticks):
        amplitudes = np.where(frames.levels > audible_db, 10 ** (frames.levels / 20), 0)
        levels = _interpolated(at, frames.ticks, amplitudes)
        cents = np.interp(at, frames.ticks, frames.cents)
    # Notes begin and end at exactly 0: at full level, they would click.
    levels[[0, -1]] = 0
    f0 = midi_to_hz(frames.pitch) * 2 ** (cents / 1200)
    slots = levels[:, HARMONICS : HARMONICS + SLOTS]
    loudest = np.sort(np.argsort(-slots.max(axis=0))[:PARTIALS])
    ratios = SLOT_RATIOS[loudest] * 2 ** (frames.slot_cents[loudest] / 1200)
    return NoteParameters(
        samples=samples,
        onset=onset,
        end=end,
        f0=f0,
        inharmonicity=frames.inharmonicity,
        harmonics=levels[:, :HARMONICS],
        phases=np.zeros(HARMONICS),
        partial_hz=float(np.median(f0)) * ratios,
        partials=slots[:, loudest],
        partial_phases=np.zeros(PARTIALS),
        deviations=np.zeros((count, HARMONICS)),
        partial_deviations=np.zeros((count, PARTIALS)),
        noise=levels[:, HARMONICS + SLOTS :] * 10 ** (-NOISE_DB / 20),
    )


def _steps(steps: tuple[tuple[int, int, int], ...], end: int) -> Ticks:
    """Return the ticks before `end` of a table of first tick, end and step."""
    parts = [np.arange(first, min(last, end), step) for first, last, step in steps if first < end]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _placed(parameters: NoteParameters, f0: float) -> tuple[dict[int, int], Doubles]:
    """Return the slot of each free partial, and the slots' distances in cents. The loudest partial chooses first.

    Args:
        parameters: of the note.
        f0: in Hz.
    """
    slots: dict[int, int] = {}
    slot_cents = np.zeros(SLOTS)
    loudness = parameters.partials.max(axis=0, initial=0.0)
    for i in np.argsort(-loudness):
        if loudness[i] == 0 or parameters.partial_hz[i] <= 0:
            continue
        ratio = float(parameters.partial_hz[i]) / f0
        place = float(np.log(ratio / LOWEST_RATIO)) / _SLOT_STEP
        nearest = sorted(range(SLOTS), key=lambda slot: abs(slot - place))[:4]
        free = [slot for slot in nearest if slot not in slots.values() and abs(slot - place) < _FARTHEST_SLOT]
        if free:
            slots[int(i)] = free[0]
            slot_cents[free[0]] = 1200 * np.log2(ratio / SLOT_RATIOS[free[0]])
    return slots, slot_cents


def _interpolated(at: Ticks, ticks: Ticks, values: Doubles) -> Doubles:
    """Return values between the frames, (len(at), values)."""
    right = np.clip(np.searchsorted(ticks, at), 0, len(ticks) - 1)
    left = np.maximum(right - 1, 0)
    span = np.maximum(ticks[right] - ticks[left], 1)
    share = np.clip((at - ticks[left]) / span, 0, 1)[:, None]
    return np.asarray((1 - share) * values[left] + share * values[right])
