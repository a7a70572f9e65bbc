"""Measure sinusoids of known frequencies, and find those that are not harmonics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instruments.latent.parameters import HIGHEST_HZ
from instruments.latent.subbands import HOP, RATE, ComplexArray, Subbands
from neural_fx.arrays import Doubles

_BODY_SECONDS = 1.0
_LOWEST_HZ = 25.0
_FAINTEST_DB = -70.0
_SURROUNDINGS_HZ = 150.0


def pursue(
    subbands: Subbands, spectrum: ComplexArray, centres: NDArray[np.int64], window_seconds: float, passes: int
) -> tuple[ComplexArray, ComplexArray]:
    """Return the envelopes of sinusoids, (sinusoids, frames), and the spectrum of the rest.

    The loudest is taken out first. Sinusoids closer than the window can tell apart take turns: each is measured again
    in the rest plus itself. All at once, they would count what they share twice.

    Args:
        subbands: of the note's length.
        spectrum: of the note.
        centres: bin of each sinusoid, (sinusoids,).
        window_seconds: of the analysis.
        passes: turns of each sinusoid.
    """
    rest = spectrum.copy()
    # Before the onset is silence: a window that reaches there has seen less of the sinusoid.
    inside = subbands.inside(window_seconds)
    found = np.zeros((len(centres), subbands.frames), np.complex128)
    energies = (np.abs(subbands.envelopes(spectrum, centres, window_seconds)) ** 2).sum(axis=1)
    for _ in range(passes):
        for i in np.argsort(-energies):
            more = subbands.envelopes(rest, centres[i : i + 1], window_seconds)[0] / inside
            found[i] += more
            subbands.add(rest, -more, int(centres[i]))
    return found, rest


def find_partials(signal: Doubles, harmonic_hz: Doubles, count: int, clear_hz: float, prominence_db: float) -> Doubles:
    """Return the frequencies of the strongest sinusoids that are not harmonics, in Hz, at most (count,).

    Args:
        signal: the note from its onset, (samples,).
        harmonic_hz: frequencies of the harmonics.
        count: how many to return.
        clear_hz: least distance to a harmonic and to each other. What is closer is heard as beating, and the
            harmonic's own amplitude follows it.
        prominence_db: least height above the surroundings.
    """
    body = signal[: round(_BODY_SECONDS * RATE)]
    size = 1 << 17
    width = RATE / size
    magnitudes = np.abs(np.fft.rfft(body * np.hanning(len(body) + 2)[1:-1], size))
    level = 20 * np.log10(magnitudes + 1e-12)
    surroundings = _moving_median(level, round(_SURROUNDINGS_HZ / width))
    middle = level[1:-1]
    peaks = (middle > level[:-2]) & (middle >= level[2:]) & (middle > surroundings[1:-1] + prominence_db)
    candidates = np.flatnonzero(peaks) + 1
    candidates = candidates[level[candidates] > level.max() + _FAINTEST_DB]
    candidates = candidates[(candidates * width > _LOWEST_HZ) & (candidates * width < HIGHEST_HZ)]
    taken = list(harmonic_hz)
    found: list[float] = []
    for i in candidates[np.argsort(-level[candidates])]:
        if len(found) == count:
            break
        left, top, right = level[i - 1 : i + 2]
        frequency = float((i + 0.5 * (left - right) / (left - 2 * top + right)) * width)
        if not taken or np.abs(np.array(taken) - frequency).min() >= clear_hz:
            found.append(frequency)
            taken.append(frequency)
    return np.array(found)


def initial_phases(envelopes: ComplexArray, offsets_hz: Doubles) -> Doubles:
    """Return the phase at the first frame of the cosines that fit envelopes best, (bands,).

    Args:
        envelopes: (bands, frames).
        offsets_hz: distances of the cosines' frequencies to the bands' centres, in Hz, (bands, 1) or (bands, frames).
    """
    cycles = np.broadcast_to(offsets_hz, envelopes.shape) * (HOP / RATE)
    turned = envelopes * np.exp(-2j * np.pi * (np.cumsum(cycles, axis=1) - cycles))
    # Small errors of the frequency add up, so the beginning counts most.
    weights = np.exp(-np.arange(envelopes.shape[1]) * HOP / RATE / 0.3)
    return np.asarray(np.angle((turned * weights).sum(axis=1)))


def measured_offsets(envelopes: ComplexArray, smoothing_seconds: float) -> Doubles:
    """Return how far the frequencies of envelopes are from their bands' centres, in Hz, (bands, frames).

    Args:
        envelopes: (bands, frames).
        smoothing_seconds: length of the Hann window that smooths them.
    """
    frames = envelopes.shape[1]
    turn = envelopes[:, 1:] * envelopes[:, :-1].conj()
    kernel = np.hanning(min(round(smoothing_seconds * RATE / HOP) + 2, frames - 1))
    smooth = np.zeros_like(envelopes)
    for i, row in enumerate(turn):
        smooth[i, :-1] = np.convolve(row, kernel, mode="same")
    smooth[:, -1] = smooth[:, -2]
    return np.angle(smooth) / (2 * np.pi) * RATE / HOP


def _moving_median(values: Doubles, width: int) -> Doubles:
    """Return a coarse moving median: medians of overlapping blocks, joined by lines."""
    half = max(1, width // 2)
    blocks = [np.median(values[i : i + width]) for i in range(0, len(values), half)]
    return np.interp(np.arange(len(values)), np.arange(len(blocks)) * half + half, blocks)
