"""Play all sounds equally loud at the same velocity, for songs that choose their sounds by themselves.

Recordings differ in level and in dynamics. `balance.json` has the loudness of every bundled sound at several
velocities, as `demos/instruments/measure_balance.py` measures it. A sound's velocities are replaced, so that all sounds
have the same dynamics. A gain then brings them to the same level. Sounds of other families are measured when they are
chosen, at one velocity.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import mido
import numpy as np
from numpy.typing import NDArray

from instruments.base import Instrument
from neural_fx.bs1770 import momentary_loudness
from neural_fx.timbre.library import TIMBRES

REFERENCE_VELOCITY = 80
"""The velocity in the middle of the dynamics of most songs."""
REFERENCE_LUFS = -26.0
"""Loudness of every balanced sound at that velocity. Ten channels together then reach about -16 LUFS."""

_MOST_GAIN_DB = 30.0
_MOST_DIFFERENCE = 1.3  # LU, between two sounds at the softest and the hardest velocity
_MEASURED_SECONDS = 1.0
_MEASURED_RATE = 48000


@dataclass(frozen=True)
class Balance:
    """What makes a sound as loud as the others.

    Attributes:
        gain_db: of its audio.
        velocities: 128 velocities that replace those of a song. The first, 0, stays.
    """

    gain_db: float = 0.0
    velocities: tuple[int, ...] = tuple(range(128))

    def message(self, message: mido.Message) -> mido.Message:
        """Return a message with its velocity replaced, if it begins a note."""
        if message.type != "note_on":
            return message
        return message.copy(velocity=self.velocities[message.velocity])


UNBALANCED = Balance()
"""The balance of sounds that stay as they are."""


@cache
def find_balance(sound: str) -> Balance | None:
    """Return the balance of a sound that was measured, or None for other sounds.

    Args:
        sound: its name.
    """
    measured = json.loads((files("instruments") / "balance.json").read_text(encoding="utf-8"))
    curves = {name: np.array(curve) for name, curve in measured["loudness_lufs"].items()}
    if sound not in curves:
        return None
    steps = np.array(measured["velocities"])
    offsets = {name: float(np.interp(REFERENCE_VELOCITY, steps, curve)) for name, curve in curves.items()}
    # All sounds get the mean of the timbres' dynamics, as far as the timbre with the least dynamics can follow. Presets
    # of other families follow as far as they can: an organ among them would leave no dynamics to the others.
    dynamics = np.array([curves[name] - offsets[name] for name in curves if name in TIMBRES])
    target = dynamics.mean(axis=0).clip(
        dynamics[:, 0].max() - _MOST_DIFFERENCE, dynamics[:, -1].min() + _MOST_DIFFERENCE
    )
    wanted = np.interp(np.arange(128), steps, target)
    # Presets are softest at a velocity above 1, because their network has heard no softer notes. From there on,
    # `interp` needs levels that only rise.
    first = int(curves[sound].argmin())
    own = np.maximum.accumulate(curves[sound][first:] - offsets[sound])
    velocities = np.interp(wanted, own, steps[first:]).round().astype(int)
    return Balance(REFERENCE_LUFS - offsets[sound], (0, *(max(1, int(v)) for v in velocities[1:])))


def measure_balance(instrument: Instrument, notes: Sequence[int]) -> Balance:
    """Return a balance that brings an instrument to `REFERENCE_LUFS` at `REFERENCE_VELOCITY`. Its dynamics stay.

    Args:
        instrument: that plays. It is reset.
        notes: 0..127, to measure.
    """
    loudness = note_loudness(instrument, notes, REFERENCE_VELOCITY)
    instrument.reset()
    return Balance(min(_MOST_GAIN_DB, max(-_MOST_GAIN_DB, REFERENCE_LUFS - loudness)))


def note_loudness(instrument: Instrument, notes: Sequence[int], velocity: int, balance: Balance = UNBALANCED) -> float:
    """Return the mean loudness of single notes in LUFS, each at its loudest 400 ms.

    Args:
        instrument: that plays.
        notes: 0..127.
        velocity: 1..127.
        balance: applied to the notes.
    """
    found: list[NDArray[np.float64]] = []
    for note in notes:
        messages = [
            balance.message(mido.Message("note_on", note=note, velocity=velocity)),
            mido.Message("note_off", note=note, time=_MEASURED_SECONDS),
        ]
        audio = instrument(messages, _MEASURED_SECONDS, _MEASURED_RATE, 1)
        found.append(momentary_loudness(audio, _MEASURED_RATE).max())
    return float(np.mean(found)) + balance.gain_db
