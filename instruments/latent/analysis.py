"""Measure one note: its onset, pitch, harmonics, free partials, and the noise that is left.

Short windows follow attacks and beating, long ones tell sinusoids from noise. The analysis can try several and keep the
one whose resynthesis is closest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instruments.latent import pitch as pitches
from instruments.latent.distance import log_spectral_distance, without_infrasound
from instruments.latent.noise import BANDS, BandTransforms
from instruments.latent.parameters import HARMONICS, HIGHEST_HZ, PARTIALS, NoteParameters, stretched
from instruments.latent.sinusoids import find_partials, initial_phases, measured_offsets, pursue
from instruments.latent.subbands import HOP, RATE, ComplexArray, Subbands
from instruments.latent.synthesis import synthesize
from instruments.latent.warping import inverted, read_between, steady_times
from neural_fx.arrays import Doubles

_NOISE_ONSET_SECONDS = 0.1
"""Time in which the window of the noise levels grows to its full length."""


@dataclass(frozen=True)
class _Pitched:
    """A note without its silence, and its pitch."""

    subbands: Subbands
    signal: Doubles
    spectrum: ComplexArray
    f0: float
    inharmonicity: float
    track: Doubles


@dataclass(frozen=True)
class NoteAnalyzer:
    """Settings of the analysis.

    Attributes:
        windows: lengths of the sinusoids' window to try, in seconds. Three windows take four times as long as one, and
            bring the result about 0.05 dB closer.
        periods: shortest window in periods, so that low notes take longer ones.
        silence_db: the note starts and ends at this level below its peak.
        pitch_seconds: window of the mean pitch.
        track_seconds: window of the pitch track.
        noise_seconds: window of the noise levels.
        onset_noise_seconds: the same at the onset.
        clear_hz: least distance of free partials to harmonics and to each other.
        prominence_db: least height of a free partial above its surroundings.
        passes: turns that each sinusoid takes.
        use_phases: keep the phases at the onset, else they are 0.
        use_deviations: keep how each sinusoid's frequency moves by itself. That is as many numbers as the amplitudes.
        deviation_seconds: window of these movements.
    """

    windows: tuple[float, ...] = (0.022,)
    periods: float = 2.2
    silence_db: float = -80.0
    pitch_seconds: float = 0.06
    track_seconds: float = 0.04
    noise_seconds: float = 0.02
    onset_noise_seconds: float = 0.004
    clear_hz: float = 30.0
    prominence_db: float = 12.0
    passes: int = 2
    use_phases: bool = True
    use_deviations: bool = False
    deviation_seconds: float = 0.02

    def analyze(self, note: NDArray[np.floating], pitch: float) -> NoteParameters:
        """Return the parameters of a note at 48 kHz.

        Args:
            note: (samples,), one channel.
            pitch: its MIDI note.
        """
        found = sounding(np.asarray(note, np.float64), self.silence_db)
        if found is None:
            return silent(len(note))
        onset, end = found
        pitched = self._pitched(without_infrasound(note, RATE)[onset:end], pitch)
        shortest = self.periods / pitched.f0
        results = []
        for window in sorted({max(window, shortest) for window in self.windows}):
            parameters = self._measured(pitched, window, len(note), onset, end)
            if len(self.windows) == 1:
                return parameters
            result = synthesize(parameters)
            distance = log_spectral_distance(note, result) + log_spectral_distance(note, result, smoothing="mel")
            results.append((distance, window, parameters))
        return min(results, key=_distance_of)[2]

    def _pitched(self, signal: Doubles, pitch: float) -> _Pitched:
        """Return a note with its pitch, its inharmonicity and its pitch track."""
        subbands = Subbands(len(signal))
        spectrum = subbands.spectrum(signal)
        f0, inharmonicity = pitches.estimate(signal, pitch)
        for _ in range(3):
            window = max(self.pitch_seconds, 4 / f0)
            f0, inharmonicity = pitches.refine(subbands, spectrum, f0, inharmonicity, window)
        window = max(self.track_seconds, 4 / f0)
        track = pitches.track(subbands, spectrum, f0, inharmonicity, window)
        return _Pitched(subbands, signal, spectrum, f0, inharmonicity, track)

    def _measured(self, note: _Pitched, window: float, samples: int, onset: int, end: int) -> NoteParameters:
        """Return the parameters of a note, measured through one window."""
        subbands = note.subbands
        harmonic_hz = note.f0 * stretched(note.inharmonicity)
        harmonic_hz = harmonic_hz[harmonic_hz < HIGHEST_HZ]
        clear = min(self.clear_hz, 0.3 * note.f0)
        partial_hz = find_partials(note.signal, harmonic_hz, PARTIALS, clear, self.prominence_db)
        frequencies = np.asarray(np.concatenate((harmonic_hz, partial_hz)), np.float64)
        centres = subbands.centres(frequencies)
        if np.ptp(note.track) == 0:
            envelopes, spectrum = pursue(subbands, note.spectrum, centres, window, self.passes)
            amplitudes = np.abs(envelopes).T
            rest = subbands.signal(spectrum)
        else:
            envelopes, amplitudes, rest = self._with_vibrato(note, centres, len(harmonic_hz), window)
        fade = min(HOP, len(rest))
        rest[-fade:] *= np.linspace(1, 0, fade)
        noise = self._noise(subbands, rest)
        # A note starts from silence: at full level in the first sample, it would click.
        amplitudes[0] = 0
        noise[0] = 0
        places = np.asarray(frequencies - centres * subbands.bin_hz, np.float64)[:, None]
        deviations = np.zeros(envelopes.shape)
        if self.use_deviations:
            deviations = measured_offsets(envelopes, self.deviation_seconds) - places
        phases = np.zeros(len(frequencies))
        if self.use_phases:
            phases = initial_phases(envelopes, places + deviations)
        count = len(harmonic_hz)
        return NoteParameters(
            samples=samples,
            onset=onset,
            end=end,
            f0=note.track,
            inharmonicity=note.inharmonicity,
            harmonics=_widened(amplitudes[:, :count], HARMONICS),
            phases=_widened(phases[:count], HARMONICS),
            partial_hz=_widened(partial_hz, PARTIALS),
            partials=_widened(amplitudes[:, count:], PARTIALS),
            partial_phases=_widened(phases[count:], PARTIALS),
            deviations=_widened(deviations[:count].T, HARMONICS),
            partial_deviations=_widened(deviations[count:].T, PARTIALS),
            noise=noise,
        )

    def _with_vibrato(
        self, note: _Pitched, centres: NDArray[np.int64], count: int, window: float
    ) -> tuple[ComplexArray, Doubles, Doubles]:
        """Return envelopes and amplitudes of a note whose pitch moves, and the rest.

        The harmonics are measured where time is bent so that they stand still. Free partials are not bent.

        Args:
            note: the note.
            centres: bin of each sinusoid, the harmonics first.
            count: number of harmonics.
            window: of the analysis, in seconds.
        """
        subbands = note.subbands
        times = steady_times(note.track, note.f0, len(note.signal))
        steady = Subbands(int(times[-1]) + 1)
        steady_spectrum = steady.spectrum(read_between(note.signal, inverted(times)))
        steady_centres = steady.centres(np.asarray(centres[:count] * subbands.bin_hz, np.float64))
        harmonics, steady_rest = pursue(steady, steady_spectrum, steady_centres, window, self.passes)
        rest = note.signal - read_between(steady.signal(steady_spectrum - steady_rest), times)
        partials, spectrum = pursue(subbands, subbands.spectrum(rest), centres[count:], window, self.passes)
        frame_times = np.interp(np.arange(subbands.frames) * HOP, np.arange(len(times)), times)
        positions = np.arange(steady.frames) * HOP
        aligned = np.array([np.interp(frame_times, positions, row) for row in harmonics]).reshape(
            count, subbands.frames
        )
        magnitudes = np.array([np.interp(frame_times, positions, np.abs(row)) for row in harmonics])
        amplitudes = np.concatenate((magnitudes.reshape(count, subbands.frames), np.abs(partials)))
        return np.concatenate((aligned, partials)), amplitudes.T, subbands.signal(spectrum)

    def _noise(self, subbands: Subbands, rest: Doubles) -> Doubles:
        """Return the noise levels of the rest, (frames, BANDS)."""
        grown = np.clip(np.arange(subbands.frames) * HOP / RATE / _NOISE_ONSET_SECONDS, 0, 1)
        smoothing = self.onset_noise_seconds + (self.noise_seconds - self.onset_noise_seconds) * grown
        return BandTransforms(subbands).levels(subbands.spectrum(rest), smoothing)


def sounding(note: Doubles, silence_db: float) -> tuple[int, int] | None:
    """Return the first sample of a note, and the one after its last; None if it is silent or shorter than two frames.

    Args:
        note: (samples,).
        silence_db: level of silence below the peak.
    """
    magnitude = np.abs(note)
    peak = magnitude.max(initial=0.0)
    if peak == 0.0:
        return None
    loud = np.flatnonzero(magnitude > peak * 10 ** (silence_db / 20))
    onset, end = int(loud[0]), int(loud[-1]) + 1
    return None if end - onset < 2 * HOP else (onset, end)


def silent(samples: int) -> NoteParameters:
    """Return the parameters of silence."""
    return NoteParameters(
        samples=samples,
        onset=0,
        end=0,
        f0=np.zeros(0),
        inharmonicity=0.0,
        harmonics=np.zeros((0, HARMONICS)),
        phases=np.zeros(HARMONICS),
        partial_hz=np.zeros(PARTIALS),
        partials=np.zeros((0, PARTIALS)),
        partial_phases=np.zeros(PARTIALS),
        deviations=np.zeros((0, HARMONICS)),
        partial_deviations=np.zeros((0, PARTIALS)),
        noise=np.zeros((0, BANDS)),
    )


def _distance_of(result: tuple[float, float, NoteParameters]) -> float:
    return result[0]


def _widened(values: Doubles, width: int) -> Doubles:
    """Return values with zeros appended to the last axis."""
    wide = np.zeros((*values.shape[:-1], width))
    wide[..., : values.shape[-1]] = values
    return wide
