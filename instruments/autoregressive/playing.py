"""Say how a note of an instrument moves its level: attack, held level and release, as in its recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neural_fx.arrays import Doubles

CURVE_FRAMES = 100
DEFAULT_RELEASE_DB = 0.8
"""Fall of each frame after a release that the recordings do not have."""
DEEPEST_DB = -45.0
"""Level of a release below which the recordings are noise. It goes on falling as by default."""


@dataclass(frozen=True)
class Playing:
    """How an instrument is played.

    Attributes:
        loudest_db: level of the audio that 0 dB stands for.
        floor_db: lowest level that the network knows.
        sustain_db: level of a held note: c0 + c1 * velocity + c2 * octaves above middle C.
        attack_db: of the frames after the onset, against the held level.
        release_db: of the frames after the release, against the level there.
    """

    loudest_db: float
    floor_db: float
    sustain_db: Doubles
    attack_db: Doubles
    release_db: Doubles

    @classmethod
    def parsed(cls, fields: Mapping[str, Any]) -> Playing:
        """Return it from a file's metadata."""
        return cls(
            float(fields["loudest_db"]),
            float(fields["floor_db"]),
            np.array(fields["sustain_db"], np.float64),
            np.array(fields["attack_db"], np.float64),
            _release(fields["release_db"]),
        )

    def between(self, other: Playing, share: float) -> Playing:
        """Return what lies between two instruments: 0 is this one, 1 the other one."""
        mine, theirs = 1 - share, share
        return Playing(
            mine * self.loudest_db + theirs * other.loudest_db,
            mine * self.floor_db + theirs * other.floor_db,
            mine * self.sustain_db + theirs * other.sustain_db,
            mine * self.attack_db + theirs * other.attack_db,
            mine * self.release_db + theirs * other.release_db,
        )

    def held(self, pitch: float, strength: float) -> float:
        """Return the level of a held note in dB, at most 0."""
        level = self.sustain_db @ (1.0, strength, (pitch - 60) / 12)
        return float(np.clip(level, self.floor_db + 10, 0.0))

    def rise(self, frames: float) -> float:
        """Return the level some frames after the onset, against the held level."""
        return float(np.interp(frames, np.arange(len(self.attack_db)), self.attack_db)) if frames < CURVE_FRAMES else 0

    def fall(self, frames: float) -> float:
        """Return the level some frames after the release, against the level there."""
        last = len(self.release_db) - 1
        beyond = DEFAULT_RELEASE_DB * max(0.0, frames - last)
        return float(np.interp(frames, np.arange(last + 1), self.release_db)) - beyond


def _release(curve: Sequence[float]) -> Doubles:
    """Return the fall of `CURVE_FRAMES` frames. What lies in the noise of the recordings is replaced."""
    found = [0.0]
    for n in range(1, CURVE_FRAMES):
        given = n < len(curve) and found[-1] > DEEPEST_DB
        found.append(min(found[-1], curve[n]) if given else found[-1] - DEFAULT_RELEASE_DB)
    return np.array(found)
