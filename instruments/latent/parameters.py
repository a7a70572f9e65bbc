"""Describe one note by numbers: pitch, harmonics, free partials, noise bands, and where it starts and ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instruments.latent.subbands import HOP, RATE
from neural_fx.arrays import Doubles

HARMONICS = 128
PARTIALS = 16
HIGHEST_HZ = 22500.0
"""Sinusoids above this are neither measured nor played."""


@dataclass
class NoteParameters:
    """One note. Frames are `HOP` samples apart, and the first is at the onset.

    Attributes:
        samples: length of the whole note, with silence around it.
        onset: first sample that sounds.
        end: sample after the last one that sounds. All else is exactly 0.
        f0: pitch track in Hz, (frames,).
        inharmonicity: B of ``f_k = k f0 sqrt(1 + B k^2)``.
        harmonics: amplitudes, (frames, HARMONICS).
        phases: phase of each harmonic's cosine at the onset, in radians, (HARMONICS,).
        partial_hz: frequencies of the free partials in Hz, (PARTIALS,); 0 if unused.
        partials: amplitudes of the free partials, (frames, PARTIALS).
        partial_phases: phases at the onset, (PARTIALS,).
        deviations: distances of the harmonics' frequencies to their places, in Hz, (frames, HARMONICS). Usually 0.
        partial_deviations: the same for the free partials, (frames, PARTIALS).
        noise: amplitude density of the noise bands, in full scale per square root of Hz, (frames, bands).
    """

    samples: int
    onset: int
    end: int
    f0: Doubles
    inharmonicity: float
    harmonics: Doubles
    phases: Doubles
    partial_hz: Doubles
    partials: Doubles
    partial_phases: Doubles
    deviations: Doubles
    partial_deviations: Doubles
    noise: Doubles

    @property
    def frames(self) -> int:
        """Return the number of frames."""
        return len(self.f0)

    def stretch(self) -> Doubles:
        """Return the ratio of each harmonic's frequency to f0, (HARMONICS,)."""
        return stretched(self.inharmonicity)


def stretched(inharmonicity: float) -> Doubles:
    """Return the ratios to f0 of all harmonics of a stiff string, (HARMONICS,)."""
    k = np.arange(1, HARMONICS + 1)
    return np.asarray(k * np.sqrt(1 + inharmonicity * k**2))


__all__ = ["HARMONICS", "HIGHEST_HZ", "HOP", "PARTIALS", "RATE", "NoteParameters", "stretched"]
