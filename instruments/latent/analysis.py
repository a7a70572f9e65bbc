"""Measure one note: find its onset, pitch, harmonics, free partials, and the noise that is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instruments.latent import pitch as pitches
from instruments.latent.distance import without_infrasound
from instruments.latent.noise import BANDS, BandTransforms
from instruments.latent.parameters import HARMONICS, HIGHEST_HZ, PARTIALS, NoteParameters, stretched
from instruments.latent.subbands import HOP, RATE, ComplexArray, Subbands

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NoteAnalyzer:
    """Settings of the analysis.

    Attributes:
        silence_db: the note starts and ends at this level below its peak.
        window_seconds: shortest window of the sinusoids; low notes take longer ones.
        periods: shortest window of the sinusoids, in periods.
        noise_seconds: window of the noise levels.
        onset_noise_seconds: the same at the onset.
        prominence_db: how far a free partial must stand out from its surroundings.
        gate: amount of noise to take from the sinusoids.
    """

    silence_db: float = -80.0
    window_seconds: float = 0.022
    periods: float = 2.2
    noise_seconds: float = 0.02
    onset_noise_seconds: float = 0.004
    prominence_db: float = 12.0
    passes: int = 2
    pitch_seconds: float = 0.06
    track_seconds: float = 0.04
    clear_hz: float = 30.0
    onset_seconds: float = 0.0
    onset_window_seconds: float = 0.012
    use_phases: bool = True
    partial_count: int = PARTIALS

    def analyze(self, note: NDArray[np.floating], pitch: float) -> NoteParameters:
        """Return the parameters of a note at 48 kHz.

        Args:
            note: (samples,), one channel.
            pitch: its MIDI note.
        """
        note = np.asarray(note, np.float64)
        loud = np.flatnonzero(np.abs(note) > np.abs(note).max(initial=0.0) * 10 ** (self.silence_db / 20))
        if len(loud) < 2 * HOP:
            return silent(len(note))
        onset, end = int(loud[0]), int(loud[-1]) + 1
        signal = without_infrasound(note, RATE)[onset:end]
        subbands = Subbands(len(signal))
        spectrum = subbands.spectrum(signal)

        f0, inharmonicity = pitches.estimate(signal, pitch)
        window = max(self.window_seconds, self.periods / f0)
        for _ in range(3):
            f0, inharmonicity = pitches.refine(subbands, spectrum, f0, inharmonicity, max(self.pitch_seconds, 4 / f0))
        track = pitches.track(subbands, spectrum, f0, inharmonicity, max(self.track_seconds, 4 / f0))

        ratios = stretched(inharmonicity)
        harmonic_hz = f0 * ratios[ratios * f0 < HIGHEST_HZ]
        partial_hz = self._pick(subbands, spectrum, harmonic_hz, f0)
        partial_centres = subbands.centres(partial_hz)
        centres = subbands.centres(harmonic_hz)
        all_centres = np.concatenate((centres, partial_centres))
        env, spectrum = pursue(subbands, spectrum, all_centres, window, self.passes)
        env, spectrum = self._sharpen(subbands, env, spectrum, all_centres, f0)
        rest = subbands.signal(spectrum)
        rest[-HOP:] *= np.linspace(1, 0, HOP)
        # A note starts from silence: a cosine that starts at full level would click.
        env[:, 0] = 0
        env, partial_env = env[: len(centres)], env[len(centres) :]

        noise = self._noise(subbands, rest)
        frames = subbands.frames
        harmonics = np.zeros((frames, HARMONICS))
        harmonics[:, : len(env)] = np.abs(env).T
        partials = np.zeros((frames, PARTIALS))
        partials[:, : len(partial_env)] = np.abs(partial_env).T
        phases = np.zeros(HARMONICS)
        partial_phases = np.zeros(PARTIALS)
        if self.use_phases:
            phases[: len(env)] = initial_phases(env, centres * subbands.bin_hz, harmonic_hz)
            partial_phases[: len(partial_env)] = initial_phases(partial_env, partial_centres * subbands.bin_hz, partial_hz)
        padded = np.zeros(PARTIALS)
        padded[: len(partial_hz)] = partial_hz
        return NoteParameters(
            len(note), onset, end, track, inharmonicity, harmonics, phases, padded, partials, partial_phases, noise
        )

    def _sharpen(
        self, subbands: Subbands, env: ComplexArray, spectrum: ComplexArray, centres: NDArray[np.int64], f0: float
    ) -> tuple[ComplexArray, ComplexArray]:
        """Return envelopes, and the spectrum of the rest, with the onset measured through a shorter window."""
        window = max(self.onset_window_seconds, self.periods / f0)
        if window >= self.window_seconds or self.onset_seconds == 0:
            return env, spectrum
        times = np.arange(subbands.samples) / RATE
        mask = np.clip(2 - times / self.onset_seconds, 0, 1)
        rest = subbands.signal(spectrum)
        near = subbands.spectrum(rest * mask)
        far = subbands.spectrum(rest * (1 - mask))
        more, near = pursue(subbands, near, centres, window, self.passes)
        return env + more, near + far

    def _pick(self, subbands: Subbands, spectrum: ComplexArray, harmonic_hz: Array, f0: float) -> Array:
        """Return the frequencies of the strongest sinusoids that are not harmonics, in Hz."""
        signal = subbands.signal(spectrum)[: int(1.0 * RATE)]
        size = 1 << 17
        magnitudes = np.abs(np.fft.rfft(signal * np.hanning(len(signal) + 2)[1:-1], size))
        level = 20 * np.log10(magnitudes + 1e-12)
        hz = RATE / size
        floor = _moving_median(level, round(150 / hz))
        peak = (level[1:-1] > level[:-2]) & (level[1:-1] >= level[2:]) & (level[1:-1] > floor[1:-1] + self.prominence_db)
        peaks = np.flatnonzero(peak) + 1
        peaks = peaks[level[peaks] > level.max() - 70]
        peaks = peaks[(peaks * hz > 25) & (peaks * hz < HIGHEST_HZ)]
        clear = min(self.clear_hz, 0.3 * f0)
        found: list[float] = []
        for i in peaks[np.argsort(-level[peaks])]:
            if len(found) == self.partial_count:
                break
            left, middle, right = level[i - 1 : i + 2]
            f = (i + 0.5 * (left - right) / (left - 2 * middle + right)) * hz
            near_harmonic = len(harmonic_hz) and np.abs(harmonic_hz - f).min() < clear
            near_partial = found and np.abs(np.array(found) - f).min() < 2 * clear
            if not near_harmonic and not near_partial:
                found.append(float(f))
        return np.array(found)

    def _noise(self, subbands: Subbands, rest: Array) -> Array:
        """Return the noise levels of the rest."""
        bands = BandTransforms(subbands)
        times = np.arange(subbands.frames) * HOP / RATE
        grown = np.clip(times / 0.1, 0, 1)
        smoothing = self.onset_noise_seconds + (self.noise_seconds - self.onset_noise_seconds) * grown
        return bands.levels(subbands.spectrum(rest), smoothing)


def pursue(
    subbands: Subbands, spectrum: ComplexArray, centres: NDArray[np.int64], window_seconds: float, passes: int
) -> tuple[ComplexArray, ComplexArray]:
    """Return the envelopes of sinusoids, (sinusoids, frames), and the spectrum of the rest.

    The loudest is taken out first. Sinusoids closer than the window can tell apart share what they have in common by
    taking turns: each is measured again in the rest plus itself.

    Args:
        subbands: of the note's length.
        spectrum: of the note.
        centres: bin of each sinusoid, (sinusoids,).
        window_seconds: of the analysis.
        passes: turns of each sinusoid.
    """
    rest = spectrum.copy()
    inside = subbands.inside(window_seconds)
    found = np.zeros((len(centres), subbands.frames), np.complex128)
    energies = (np.abs(subbands.envelopes(spectrum, centres, window_seconds)) ** 2).sum(axis=1)
    for _ in range(passes):
        for i in np.argsort(-energies):
            more = subbands.envelopes(rest, centres[i : i + 1], window_seconds)[0] / inside
            found[i] += more
            subbands.add(rest, -more, int(centres[i]))
    return found, rest


def initial_phases(envelopes: ComplexArray, centre_hz: Array, frequencies: Array) -> Array:
    """Return the phase at the first frame of the cosines that fit envelopes best, (bands,).

    Args:
        envelopes: (bands, frames), around the centres.
        centre_hz: of the bands, (bands,).
        frequencies: of the cosines, (bands,).
    """
    times = np.arange(envelopes.shape[1]) * HOP / RATE
    turned = envelopes * np.exp(-2j * np.pi * np.outer(frequencies - centre_hz, times))
    weighted = turned * np.exp(-times / 0.3)
    return np.asarray(np.angle(weighted.sum(axis=1)))


def silent(samples: int) -> NoteParameters:
    """Return the parameters of silence."""
    return NoteParameters(
        samples, 0, 0, np.zeros(0), 0.0, np.zeros((0, HARMONICS)), np.zeros(HARMONICS), np.zeros(PARTIALS),
        np.zeros((0, PARTIALS)), np.zeros(PARTIALS), np.zeros((0, BANDS)),
    )


def _moving_median(values: Array, width: int) -> Array:
    """Return a coarse moving median: medians of blocks, joined by lines."""
    half = max(1, width // 2)
    blocks = [np.median(values[i : i + width]) for i in range(0, len(values), half)]
    return np.interp(np.arange(len(values)), np.arange(len(blocks)) * half + half, blocks)
