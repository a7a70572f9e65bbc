"""Measure the pitch and the inharmonicity of a note whose MIDI pitch is known."""

from __future__ import annotations

import numpy as np

from instruments.latent.parameters import HARMONICS, HIGHEST_HZ, stretched
from instruments.latent.subbands import HOP, RATE, ComplexArray, Subbands
from neural_fx.arrays import Doubles

_WIDEST_CENTS = 70
_INHARMONICITIES = np.concatenate(([0.0], np.geomspace(1e-5, 3e-3, 14)))
_COARSE_HARMONICS = 24
_WIDEST_STEP = 10.0
"""Cents that one refinement may move the pitch."""
_STIFFEST = 5e-3
_TRACK_SMOOTHING_SECONDS = 0.04
_STEADY_CENTS = 3.0
"""Smaller movements are not worth a track: noise alone makes them."""


def midi_to_hz(pitch: float) -> float:
    """Return the frequency of a MIDI note."""
    return float(440 * 2 ** ((pitch - 69) / 12))


def estimate(signal: Doubles, pitch: float) -> tuple[float, float]:
    """Return f0 in Hz and the inharmonicity, by the sum of a spectrum's magnitudes at the harmonics.

    Args:
        signal: the note from its onset, (samples,).
        pitch: MIDI note.
    """
    size = 1 << 18
    body = signal[: int(1.5 * RATE)]
    taper = np.hanning(len(body) + 2)[1:-1]
    magnitudes = np.abs(np.fft.rfft(body * taper, size))
    # The root of the magnitude keeps one loud harmonic from deciding alone.
    height = np.sqrt(magnitudes / (magnitudes.max() or 1))
    nominal = midi_to_hz(pitch)
    cents = np.arange(-_WIDEST_CENTS, _WIDEST_CENTS + 1, 1.0)
    count = int(min(_COARSE_HARMONICS, max(1, 0.9 * HIGHEST_HZ / nominal)))
    best = (-1.0, nominal, 0.0)
    for inharmonicity in _INHARMONICITIES:
        ratios = stretched(float(inharmonicity))[:count]
        candidates = nominal * 2 ** (cents / 1200)
        index = np.rint(np.outer(candidates, ratios) * size / RATE).astype(int)
        score = height[np.minimum(index, len(height) - 1)].sum(axis=1)
        # Without a reason, the string is not stiff and the note is in tune.
        score -= 1e-3 * count * (np.abs(cents) / _WIDEST_CENTS + (inharmonicity > 0))
        i = int(score.argmax())
        if score[i] > best[0]:
            best = (float(score[i]), float(candidates[i]), float(inharmonicity))
    return best[1], best[2]


def refine(
    subbands: Subbands, spectrum: ComplexArray, f0: float, inharmonicity: float, window_seconds: float
) -> tuple[float, float]:
    """Return a better f0 and inharmonicity, from the rate at which the harmonics' phases turn.

    Args:
        subbands: of the note's length.
        spectrum: of the note.
        f0: in Hz.
        inharmonicity: B.
        window_seconds: of the analysis.
    """
    measured, weights = _measured_ratios(subbands, spectrum, f0, inharmonicity, window_seconds)
    k = np.arange(1, len(measured) + 1)
    if weights.sum() <= 0:
        return f0, inharmonicity
    # f_k^2 / k^2 = f0^2 + f0^2 B k^2 is a straight line in k^2.
    y = (measured / k) ** 2
    x = k.astype(float) ** 2
    mean_x, mean_y = (weights @ x) / weights.sum(), (weights @ y) / weights.sum()
    variance = weights @ (x - mean_x) ** 2
    slope = weights @ ((x - mean_x) * (y - mean_y)) / variance if variance > 0 else 0.0
    base = mean_y - slope * mean_x
    if slope <= 0 or base <= 0 or (weights > 1e-3 * weights.max()).sum() < 4:
        slope, base = 0.0, mean_y
    refined = float(np.clip(np.sqrt(base), f0 * 2 ** (-_WIDEST_STEP / 1200), f0 * 2 ** (_WIDEST_STEP / 1200)))
    return refined, float(min(slope / base, _STIFFEST))


def _measured_ratios(
    subbands: Subbands, spectrum: ComplexArray, f0: float, inharmonicity: float, window_seconds: float
) -> tuple[Doubles, Doubles]:
    """Return the mean frequency of each harmonic in Hz, and how much it should count."""
    frequencies = f0 * stretched(inharmonicity)
    frequencies = frequencies[frequencies < min(HIGHEST_HZ, 0.95 * RATE / 2)][:HARMONICS]
    centres = subbands.centres(frequencies)
    envelopes = subbands.envelopes(spectrum, centres, window_seconds)
    turn = (envelopes[:, 1:] * envelopes[:, :-1].conj()).sum(axis=1)
    power = (np.abs(envelopes) ** 2).sum(axis=1)
    offset = np.angle(turn) / (2 * np.pi) * RATE / HOP
    # Noise turns at random: its steps cancel. Sinusoids far below the loudest are mostly leakage.
    steadiness = np.abs(turn) / np.maximum(power, 1e-30)
    k = np.arange(1, len(frequencies) + 1)
    weights = power**0.5 * np.clip((steadiness - 0.9) / 0.1, 0, 1) * k
    weights = np.where(np.abs(offset) < min(0.3 * f0, 1 / window_seconds), weights, 0)
    return centres * subbands.bin_hz + offset, weights


def track(
    subbands: Subbands, spectrum: ComplexArray, f0: float, inharmonicity: float, window_seconds: float
) -> Doubles:
    """Return f0 at every frame in Hz, (frames,). It is constant unless the harmonics move together.

    Args:
        subbands: of the note's length.
        spectrum: of the note.
        f0: mean f0 in Hz.
        inharmonicity: B.
        window_seconds: of the analysis.
    """
    ratios = stretched(inharmonicity)
    ratios = ratios[ratios * f0 < min(HIGHEST_HZ, 0.95 * RATE / 2)][:12]
    centres = subbands.centres(f0 * ratios)
    envelopes = subbands.envelopes(spectrum, centres, window_seconds)
    turn = envelopes[:, 1:] * envelopes[:, :-1].conj()
    kernel = np.hanning(min(round(_TRACK_SMOOTHING_SECONDS * RATE / HOP) + 2, turn.shape[1]))
    turn = np.stack([np.convolve(row, kernel, mode="same") for row in turn])
    offset = np.angle(turn) / (2 * np.pi) * RATE / HOP + (centres * subbands.bin_hz - f0 * ratios)[:, None]
    weights = np.abs(turn) * (ratios**2)[:, None]
    relative = (weights * (offset / ratios[:, None])).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-30)
    relative = np.append(relative, relative[-1])
    loudness = np.append(np.abs(turn).sum(axis=0), 0)
    quiet = loudness < 1e-4 * loudness.max()
    relative = np.where(quiet, 0, relative)
    spread = np.sqrt((loudness * relative**2).sum() / max(loudness.sum(), 1e-30))
    # Detuned voices beat: their harmonics move, but not together.
    apart = (weights * (offset / ratios[:, None] - relative[:-1]) ** 2).sum()
    together = (weights * relative[:-1] ** 2).sum()
    if spread < f0 * (2 ** (_STEADY_CENTS / 1200) - 1) or apart > together:
        return np.full(subbands.frames, f0)
    return np.asarray(f0 + relative)
