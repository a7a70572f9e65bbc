"""Analyse single notes for the autoregressive networks: pitch, phase of the fundamental, level, and classes of samples.

Only needs numpy at import, so that the trainer can read packed notes on a machine without audio libraries.
"""

from __future__ import annotations

import io
import json
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neural_fx.arrays import Doubles, Numbers
from neural_fx.networks.autoregressive.conditions import frame_conditions
from neural_fx.networks.autoregressive.signal import Signal

FLOOR_DB = -70.0
"""Lowest level, below the loudest frame of the instrument."""
PHASE_SECONDS = 0.03
WEAK = 10**-2.5
"""Power of the fundamental, against the strongest harmonic, below which a stronger one gives the phase."""
HARMONICS_TRIED = 6


@dataclass
class Note:
    """A note, or a part of one.

    Attributes:
        voice: index of the instrument.
        pitch: MIDI note.
        velocity: 1 to 127.
        onset: sample of the onset; negative if the part begins later.
        release: sample of the release.
        held_out: whether it is kept from training.
        classes: of every sample, (samples,), uint8.
        hz: pitch of every frame, (frames,).
        cycles: phase of the fundamental at every frame, (frames,).
        levels_db: of every frame, below the instrument's loudest, (frames,).
    """

    voice: int
    pitch: int
    velocity: int
    onset: int
    release: int
    held_out: bool
    classes: Numbers
    hz: Numbers
    cycles: Numbers
    levels_db: Numbers

    def frames(self, signal: Signal) -> Numbers:
        """Return the conditions of every frame, (frames, 4)."""
        times = np.arange(len(self.hz)) * signal.hop
        since = (times - self.onset) / signal.rate
        until = (times - self.release) / signal.rate
        return frame_conditions(self.hz, self.levels_db, since, until)


def followed(audio: Numbers, hz: float, signal: Signal) -> tuple[Doubles, Doubles]:
    """Return the phase of the fundamental in cycles and the pitch in Hz of every frame, (frames,) each.

    The audio is turned down by a harmonic's frequency and smoothed. What is left of its phase is how far the harmonic
    runs ahead of the mean pitch. The fundamental is taken, unless it is too weak.

    Args:
        audio: (samples,).
        hz: mean pitch.
        signal: rate and hop.
    """
    times = np.arange(len(audio)) / signal.rate
    width = int(max(PHASE_SECONDS, 3 / hz) * signal.rate) | 1
    taper = np.hanning(width + 2)[1:-1]
    taper /= taper.sum()
    count = max(1, min(HARMONICS_TRIED, int(0.45 * signal.rate / hz)))
    turned = [np.convolve(audio * np.exp(-2j * np.pi * k * hz * times), taper, "same") for k in range(1, count + 1)]
    powers = np.array([np.mean(np.abs(z) ** 2) for z in turned])
    best = 0 if powers[0] > WEAK * powers.max() else int(powers.argmax())
    ahead = _steady_phase(turned[best], signal) / (best + 1)
    if best:
        # A higher harmonic leaves a choice of where its period begins; the weak fundamental decides.
        difference = np.angle((_at_frames(turned[0], signal) * np.exp(-2j * np.pi * ahead)).sum()) / (2 * np.pi)
        ahead = ahead + np.rint(difference * (best + 1)) / (best + 1)
    frames = len(ahead)
    moved = np.gradient(ahead) * signal.rate / signal.hop if frames > 1 else np.zeros(frames)
    smooth = np.convolve(np.pad(moved, 4, mode="edge"), np.hanning(11)[1:-1] / np.hanning(11).sum(), "valid")
    return ahead + hz * np.arange(frames) * signal.hop / signal.rate, hz + smooth


def _at_frames(values: Numbers, signal: Signal) -> Numbers:
    """Return the values at the frames, (1 + samples // hop,)."""
    frames = values[:: signal.hop]
    return np.append(frames, values[-1]) if len(values) % signal.hop == 0 else frames


def _steady_phase(turned: Numbers, signal: Signal) -> Doubles:
    """Return the unwrapped phase in cycles of every frame; where the harmonic is silent, it keeps its last value."""
    frames = _at_frames(turned, signal)
    magnitude = np.abs(frames)
    sounding = np.flatnonzero(magnitude > 0.03 * magnitude.max())
    if not len(sounding):
        return np.zeros(len(frames))
    phase = np.unwrap(np.angle(frames[sounding])) / (2 * np.pi)
    return np.asarray(np.interp(np.arange(len(frames)), sounding, phase))


def pack(notes: list[Note], about: dict[str, Any]) -> bytes:
    """Return notes as compressed bytes.

    Args:
        notes: all of them.
        about: anything else, as JSON values.
    """
    fields = {name: [int(getattr(n, name)) for n in notes] for name in _NUMBERS}
    arrays = {
        # Differences to the previous sample's class compress better than the classes.
        "classes": np.concatenate([np.diff(n.classes.astype(np.int16), prepend=0).astype(np.uint8) for n in notes]),
        "cents": np.concatenate([1200 * np.log2(n.hz / _hz(n.pitch)) for n in notes]).astype(np.float16),
        "cycles": np.concatenate([np.floor((n.cycles % 1) * 65536) for n in notes]).astype(np.uint16),
        "levels": np.concatenate([n.levels_db for n in notes]).astype(np.float16),
        "samples": np.array([len(n.classes) for n in notes]),
    }
    buffer = io.BytesIO()
    np.savez(buffer, about=np.array(json.dumps({**about, "notes": fields})), **arrays)
    return lzma.compress(buffer.getvalue(), preset=6)


_NUMBERS = ("voice", "pitch", "velocity", "onset", "release", "held_out")


def _hz(pitch: float) -> float:
    return float(440 * 2 ** ((pitch - 69) / 12))


def read_notes(path: str | Path, signal: Signal) -> tuple[list[Note], dict[str, Any]]:
    """Return the notes of a file that `pack` made, and everything else in it.

    Args:
        path: the file.
        signal: rate and hop.
    """
    content = np.load(io.BytesIO(lzma.decompress(Path(path).read_bytes())), allow_pickle=False)
    about = json.loads(str(content["about"]))
    fields = about.pop("notes")
    classes, cents, cycles, levels = (content[name] for name in ("classes", "cents", "cycles", "levels"))
    notes = []
    sample = frame = 0
    for n, count in enumerate(content["samples"]):
        frames = 1 + int(count) // signal.hop
        here = slice(frame, frame + frames)
        numbers = {name: fields[name][n] for name in _NUMBERS}
        hz = _hz(numbers["pitch"]) * 2 ** (cents[here].astype(np.float64) / 1200)
        notes.append(
            Note(
                **{**numbers, "held_out": bool(numbers["held_out"])},
                classes=np.cumsum(classes[sample : sample + count], dtype=np.uint8),
                hz=hz,
                cycles=_unwrapped(cycles[here] / 65536, hz, signal),
                levels_db=levels[here].astype(np.float64),
            )
        )
        sample += int(count)
        frame += frames
    return notes, about


def _unwrapped(fractions: Doubles, hz: Doubles, signal: Signal) -> Doubles:
    """Return continuous phases from their fractions, with the pitch to say how many cycles lie between frames."""
    expected = 0.5 * (hz[1:] + hz[:-1]) * signal.hop / signal.rate
    difference = np.diff(fractions) - expected
    return np.concatenate(([fractions[0]], fractions[0] + np.cumsum(expected + difference - np.rint(difference))))
