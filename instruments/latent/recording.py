"""Find the one note in a recording: where it begins, its pitch, and when it is released."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instruments.latent.analysis import NoteAnalyzer
from instruments.latent.frames import NoteFrames, frames_of
from instruments.latent.subbands import HOP, RATE
from neural_fx.arrays import Audio, Doubles
from neural_fx.audio import open_audio, read_audio, resample
from neural_fx.errors import AudioError
from neural_fx.layout import channels_first
from neural_fx.timbre.analysis import CONFIDENT, analyze
from neural_fx.values import positive_number

LONGEST_FILE_SECONDS = 120.0
LONGEST_SECONDS = 8.0
"""What is after this is left out: the network has heard no longer notes."""
SHORTEST_SECONDS = 0.15
LOWEST_PITCH, HIGHEST_PITCH = 12.0, 120.0

_STEP = RATE // 100
"""Samples between values of the envelope."""
_SILENCE_DB = -90.0
_RANGE_DB = 60.0
_ABOVE_NOISE_DB = 8.0
_GAP_STEPS = 15
_SECOND_NOTE_DB = 20.0
_LOUD_DB = 30.0
_LEAST_VOICED = 0.3
_LEAST_EXPLAINED = 0.8
_LEAST_ROOT = 0.1
_RELEASE_SLOPE_DB = 60.0
_STEEPER_DB = 40.0
_RELEASE_DROP_DB = 3.0
_RELEASE_RANGE_DB = 40.0
_FADE_SECONDS = 0.005


@dataclass(frozen=True)
class Recording:
    """One note.

    Attributes:
        name: of the file, without its suffix.
        samples: from just before the onset to the end, at 48 kHz, (samples,).
        pitch: MIDI note, with fractions.
        release: sample of the release; None if the note ends by itself.
    """

    name: str
    samples: Doubles
    pitch: float
    release: int | None

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / RATE

    def frames(self, velocity: float) -> NoteFrames:
        """Return the frames of the note.

        Args:
            velocity: 1 to 127.
        """
        parameters = NoteAnalyzer().analyze(self.samples, self.pitch)
        release = len(self.samples) if self.release is None else self.release
        return frames_of(parameters, self.pitch, velocity, release)


def recorded(source: str | Path | Audio, sample_rate: float | None = None, pitch: float | None = None) -> Recording:
    """Return the note of a recording.

    Args:
        source: audio file, or audio as (samples,), (channels, samples) or (samples, channels). Channels are averaged.
        sample_rate: of audio that is not a file, in Hz.
        pitch: MIDI note. None finds it.

    Raises:
        AudioError: the file cannot be read, is silent, too short, too long, or not one note with a pitch.
    """
    name, audio, rate = _read(source, sample_rate)
    if pitch is not None and not LOWEST_PITCH <= pitch <= HIGHEST_PITCH:
        raise AudioError(f"{name}: pitch {pitch:g}: expected a MIDI note from {LOWEST_PITCH:g} to {HIGHEST_PITCH:g}")
    mono = _mono(audio)
    if rate != RATE:
        mono = resample(mono[None].astype(np.float32), rate, RATE)[0].astype(np.float64)
    note = _cut(name, mono)
    if pitch is None:
        pitch = found_pitch(name, note)
    return Recording(Path(name).stem, note, float(pitch), found_release(note))


def _read(source: str | Path | Audio, sample_rate: float | None) -> tuple[str, Audio, float]:
    if isinstance(source, (str, Path)):
        with open_audio(source) as file:
            seconds = file.frames / file.sample_rate
        if seconds > LONGEST_FILE_SECONDS:
            raise AudioError(f"{source}: expected one note, found {seconds / 60:.1f} minutes; cut it to the note")
        audio, rate = read_audio(source)
        return str(source), audio, float(rate)
    if sample_rate is None:
        raise TypeError("sample_rate is needed for audio that is not a file")
    audio = channels_first(source).astype(np.float32)
    if not np.isfinite(audio).all():
        raise AudioError("audio: contains NaN or infinite samples")
    return "audio", audio, positive_number(sample_rate, "sample_rate")


def _mono(audio: Audio) -> Doubles:
    """Return the mean of the channels, or the loudest one if they cancel each other."""
    channels = audio.astype(np.float64)
    if channels.size == 0:
        return np.zeros(0)
    mean = channels.mean(axis=0)
    powers = (channels**2).mean(axis=1)
    return np.asarray(mean if (mean**2).mean() > 0.1 * powers.max() else channels[powers.argmax()])


def envelope_db(samples: Doubles) -> Doubles:
    """Return the level in dB every 10 ms, each over 20 ms, (values,)."""
    count = max(1, -(-len(samples) // _STEP))
    padded = np.zeros((count + 1) * _STEP)
    padded[: len(samples)] = samples
    powers = (padded.reshape(count + 1, _STEP) ** 2).mean(axis=1)
    return np.asarray(10 * np.log10(np.maximum((powers[:-1] + powers[1:]) / 2, 10 ** (_SILENCE_DB / 5))))


def _cut(name: str, mono: Doubles) -> Doubles:
    """Return the samples of the note, from just before its onset to its end."""
    levels = envelope_db(mono)
    peak = float(levels.max())
    if peak < _SILENCE_DB:
        raise AudioError(f"{name}: is silent")
    noise = float(np.percentile(levels, 10))
    # Where the note fills the file, its own level is no noise.
    threshold = min(max(peak - _RANGE_DB, noise + _ABOVE_NOISE_DB), peak - _LOUD_DB)
    heard = np.flatnonzero(levels > threshold)
    gaps = np.flatnonzero(np.diff(heard) > _GAP_STEPS)
    last = int(heard[-1])
    if len(gaps):
        last = int(heard[gaps[0]])
        after = heard[gaps[0] + 1 :]
        if levels[after].max() > peak - _SECOND_NOTE_DB:
            raise AudioError(f"{name}: has more than one note; cut it to one")
    first = int(heard[0])
    begin = max(0, _first_loud(mono, first * _STEP, (last + 2) * _STEP, threshold) - HOP // 2)
    end = min(len(mono), (last + 2) * _STEP)
    if (end - begin) / RATE < SHORTEST_SECONDS:
        raise AudioError(
            f"{name}: the note lasts {(end - begin) / RATE:.2f} s; at least {SHORTEST_SECONDS:g} s are needed, "
            "and a second or more is better"
        )
    note = mono[begin : min(end, begin + int(LONGEST_SECONDS * RATE))].copy()
    fade = int(_FADE_SECONDS * RATE)
    note[-fade:] *= np.linspace(1, 0, fade)
    return note


def _first_loud(mono: Doubles, first: int, last: int, threshold_db: float) -> int:
    """Return the first sample of a stretch that is above a level."""
    loud = np.flatnonzero(np.abs(mono[first:last]) > 10 ** (threshold_db / 20))
    return first + (int(loud[0]) if len(loud) else 0)


def found_pitch(name: str, note: Doubles) -> float:
    """Return the MIDI note of a recorded note, with fractions.

    Args:
        name: of the recording, for errors.
        note: at 48 kHz, (samples,).

    Raises:
        AudioError: there is no pitch, or more than one.
    """
    found = analyze(note.astype(np.float32), RATE, "live")
    loud = found.loudness_db > found.loudness_db.max() - _LOUD_DB
    voiced = loud & (found.confidence >= CONFIDENT)
    help_text = "record a single note, or give its pitch (`pitch=60`, `--pitch 60`)"
    if voiced.sum() < _LEAST_VOICED * loud.sum():
        raise AudioError(f"{name}: no clear pitch was found; {help_text}")
    hz = float(np.median(found.f0_hz[voiced]))
    magnitudes = _magnitudes(note)
    # An octave below, the tracker's range ends, and low notes may be weak in their first harmonic.
    if _explained(magnitudes, hz / 2) > _explained(magnitudes, hz) + 0.2 and hz / 2 > 25:
        hz /= 2
    roots = [_near(magnitudes, k * hz, 0.06 * hz) for k in (1, 2, 3)]
    if _explained(magnitudes, hz) < _LEAST_EXPLAINED or sum(roots) < _LEAST_ROOT * (magnitudes**2).sum():
        raise AudioError(f"{name}: more than one pitch was found, or none; {help_text}")
    return float(69 + 12 * np.log2(hz / 440))


def _magnitudes(note: Doubles) -> Doubles:
    """Return the magnitudes of the first two seconds, one for each Hz up to 8 kHz, without the quietest."""
    body = note[: 2 * RATE]
    spectrum = np.abs(np.fft.rfft(body * np.hanning(len(body)), max(RATE, len(body))))
    hz = np.arange(len(spectrum)) * RATE / max(RATE, len(body))
    bins = np.rint(hz).astype(int)
    powers = np.zeros(8001)
    used = bins <= 8000
    np.add.at(powers, bins[used], spectrum[used] ** 2)
    powers[:25] = 0
    return np.sqrt(np.where(powers > 1e-5 * powers.max(), powers, 0))


def _near(magnitudes: Doubles, hz: float, width: float) -> float:
    """Return the power within some Hz of a frequency."""
    width = max(width, 3.0)
    low, high = max(0, round(hz - width)), round(hz + width) + 1
    return float((magnitudes[low:high] ** 2).sum())


def _explained(magnitudes: Doubles, hz: float) -> float:
    """Return the share of a spectrum that lies at multiples of a frequency, less what would be there by chance."""
    places = np.arange(len(magnitudes))
    multiple = np.maximum(np.rint(places / hz), 1)
    # Stiff strings are sharp, so high harmonics may be farther away.
    width = np.minimum(np.maximum(3.0, 0.012 * places), 0.2 * hz)
    inside = np.abs(places - multiple * hz) <= width
    weights = magnitudes**2
    share = float(weights[inside].sum() / max(weights.sum(), 1e-30))
    chance = float(inside[25:].mean())
    return (share - chance) / max(1 - chance, 1e-9)


def found_release(note: Doubles) -> int | None:
    """Return the sample at which a note is released, or None if it ends by itself.

    The level then falls much faster than before.

    Args:
        note: at 48 kHz, (samples,).
    """
    levels = envelope_db(note)
    peak = levels.max()
    found: list[int] = []
    for step in range(10, len(levels) - 3):
        before = _slope(levels[max(0, step - 20) : step + 1])
        after = _slope(levels[step : step + 6])
        audible = levels[step] > peak - _RELEASE_RANGE_DB
        lasting = levels[step + 3 :].max() < levels[step] - _RELEASE_DROP_DB
        if audible and lasting and after < -_RELEASE_SLOPE_DB and after < 2 * before - _STEEPER_DB:
            found.append(step)
    # The strike of a bell falls fast, too, so the last fall counts. Of the steps that fall together, it is the first.
    firsts = [step for step in found if step - 1 not in found]
    return firsts[-1] * _STEP if firsts else None


def _slope(levels: NDArray[np.float64]) -> float:
    """Return the slope of levels in dB a second."""
    return float(np.polyfit(np.arange(len(levels)) * _STEP / RATE, levels, 1)[0]) if len(levels) > 1 else 0.0
