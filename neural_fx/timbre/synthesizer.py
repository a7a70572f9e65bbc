"""Play frames with one timbre, or with two that are morphed, in several voices whose phases continue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neural_fx import blocks
from neural_fx.arrays import Numbers
from neural_fx.engines import Stream, open_engine
from neural_fx.networks import Conv, Sequential
from neural_fx.parameters import Parameter, Ramp
from neural_fx.timbre import synthesis
from neural_fx.timbre.analysis import HOP, RATE, a_weight
from neural_fx.timbre.decoder import Frames
from neural_fx.timbre.files import Timbre
from neural_fx.timbre.synthesis import BAND_KILOHERTZ, TAPS

BRIGHTNESS = Parameter("brightness", -12, 12, 0, "dB/octave", description="tilts the spectrum and keeps the loudness")
BREATH = Parameter("breath", 0, 4, 1, description="scales bow, breath and key noise")
MORPH = Parameter("morph", 0, 1, 0, description="0 is the timbre, 1 is morph_to")
REVERB = Parameter("reverb", 0, 2, 1, description="scales the reverb of the timbre's room")
"""Knobs of everything that plays a timbre."""

SILENT_DB = (-90.0, -80.0)
"""Loudness below which the output is silent, and above which it has its full level."""
_LEAST = np.float32(1e-7)


@dataclass(frozen=True)
class Score:
    """What voices play, frame by frame.

    Attributes:
        f0_hz: (voices, frames), pitch in Hz.
        confidence: (voices, frames), 0..1, of the pitch.
        loudness_db: (voices, frames), A-weighted. It sets the dynamics: the level and the colour.
        gain_db: (voices, frames), changes the level only.
        brightness: dB per octave by which harmonics and noise are tilted. The loudness stays the same.
        breath: linear factor of the noise.
        morph: 0 for the first timbre, 1 for the second.
    """

    f0_hz: Numbers
    confidence: Numbers
    loudness_db: Numbers
    gain_db: Any = 0.0
    brightness: Any = 0.0
    breath: Any = 1.0
    morph: Any = 0.0


class Synthesizer:
    """Voices of one or two timbres.

    Args:
        timbres: one, or two to morph between.
        voices: number of them.
        seed: of the noise.
    """

    def __init__(self, timbres: tuple[Timbre, ...], voices: int = 1, seed: int = 0) -> None:
        self.timbres, self.voices = timbres, voices
        self.count = max(t.decoder.shape.harmonics for t in timbres)
        self.random = np.random.default_rng(seed)
        self.decoders = [t.decoder.copy() for t in timbres]
        self.states = [d.start(voices) for d in self.decoders]
        self.phase = np.zeros(voices)
        self.f0 = np.zeros(voices)  # of the last frame; 0 before the first
        self.amplitudes = np.zeros((voices, self.count), np.float32)
        self.tail = np.zeros((voices, TAPS), np.float32)

    def restart(self, voice: int) -> None:
        """Start a voice from silence again. What its noise filter still holds fades out."""
        for state in self.states:
            state[voice] = 0
        self.phase[voice] = self.f0[voice] = 0
        self.amplitudes[voice] = 0

    def process(self, score: Score, voices: list[int] | None = None) -> Numbers:
        """Render the hops that end at the frames of a score.

        Args:
            score: the next frames of these voices.
            voices: indices of the voices. If None, all.

        Returns:
            (voices, frames * HOP). The first hop after a restart rises from silence.
        """
        which: Any = slice(None) if voices is None else voices
        frames = self._decode(score, which)
        f0 = np.where(self.f0[which] > 0, self.f0[which], score.f0_hz[:, 0])
        steps = np.concatenate((f0[:, None], score.f0_hz), 1)
        phases, self.phase[which] = synthesis.turns(steps, self.phase[which])
        amplitudes = np.concatenate((self.amplitudes[which][:, None], frames.amplitudes), 1)
        self.f0[which], self.amplitudes[which] = score.f0_hz[:, -1], frames.amplitudes[:, -1]
        audio = synthesis.harmonics(phases, amplitudes)
        white = self.random.random((frames.magnitudes.shape[1], len(phases), HOP), np.float32)
        white = 2 * white.transpose(1, 0, 2) - 1
        noise, self.tail[which] = synthesis.filtered_noise(frames.magnitudes, white, self.tail[which])
        return np.asarray(audio + noise)

    def _decode(self, score: Score, which: Any) -> Frames:
        decoded = []
        for decoder, state in zip(self.decoders, self.states, strict=True):
            frames, state[which] = decoder.decode(score.f0_hz, score.confidence, score.loudness_db, state[which])
            decoded.append(frames)
        frames = decoded[0]
        if len(decoded) == 2:
            share = _per_frame(score.morph)
            frames = Frames(
                _between(self._wide(decoded[0].amplitudes), self._wide(decoded[1].amplitudes), share),
                _between(decoded[0].magnitudes, decoded[1].magnitudes, share),
            )
        return _shaped(frames, score)

    def _wide(self, amplitudes: Numbers) -> Numbers:
        return np.pad(amplitudes, ((0, 0), (0, 0), (0, self.count - amplitudes.shape[2])))


def _per_frame(value: Numbers | float) -> Numbers:
    """Return a setting in a shape that multiplies (voices, frames, any)."""
    return np.asarray(value, np.float32)[..., None]


def _between(a: Numbers, b: Numbers, share: Numbers) -> Numbers:
    """Interpolate between a and b in dB. In between, the tones of both are present."""
    mixed = np.exp((1 - share) * np.log(a + _LEAST) + share * np.log(b + _LEAST)) - _LEAST
    return np.asarray(np.maximum(mixed, 0))


def _shaped(frames: Frames, score: Score) -> Frames:
    """Apply level, brightness and breath to frames."""
    low, high = SILENT_DB
    loud = np.asarray(score.loudness_db, np.float32)[..., None]
    gain = np.clip((loud - low) / (high - low), 0, 1) * 10 ** (_per_frame(score.gain_db) / 20)
    tones, noise = frames.amplitudes, frames.magnitudes * _per_frame(score.breath)
    if np.any(score.brightness):
        tilt = _per_frame(score.brightness) / 20
        numbers = np.arange(1, tones.shape[2] + 1, dtype=np.float32)
        hz = np.asarray(score.f0_hz, np.float32)[..., None] * numbers
        weights = a_weight(hz)
        # The tilted tones are scaled to the A-weighted power that they had before.
        before = np.sum(np.square(tones) * weights, -1, keepdims=True)
        tones = tones * 10 ** (tilt * np.log2(numbers))
        after = np.sum(np.square(tones) * weights, -1, keepdims=True)
        tones = tones * np.sqrt((before + 1e-12) / (after + 1e-12))
        noise = noise * 10 ** (tilt * np.log2(BAND_KILOHERTZ))
    return Frames((tones * gain).astype(np.float32), (noise * gain).astype(np.float32))


class Room:
    """The reverb of a timbre.

    Args:
        response: (taps,), impulse response without the direct sound. All zeros mean no reverb.
    """

    stream: Stream | None = None

    def __init__(self, response: Numbers) -> None:
        if not response.any():
            return
        taps = response[::-1].reshape(1, 1, -1)
        self.stream = open_engine(Sequential(1, 1, (Conv(np.ascontiguousarray(taps, np.float32)),))).stream(1)
        self.stream.reset(0, np.zeros(0, np.float32))

    def process(self, audio: Numbers) -> Numbers:
        """Return what the room adds to a block: (samples,) to (samples,)."""
        if self.stream is None:
            return np.zeros_like(audio)
        wet: Numbers = self.stream.process(audio[None, None])[0, 0]
        return wet


class Rooms:
    """The rooms of one timbre, or of two that are morphed, with a level.

    Args:
        timbres: as for `Synthesizer`.
        level: linear level of the reverb at the start.
        morph: 0..1, at the start.
    """

    def __init__(self, timbres: tuple[Timbre, ...], level: float, morph: float) -> None:
        self.rooms = [Room(timbre.reverb) for timbre in timbres]
        self.level, self.morph = (Ramp(value, round(blocks.SMOOTHING_SECONDS * RATE)) for value in (level, morph))

    def process(self, direct: Numbers, level: float, morph: float) -> Numbers:
        """Add the room to a block.

        Args:
            direct: (samples,), the direct sound.
            level: linear level of the reverb to move to.
            morph: 0..1, to move to.

        Returns:
            (samples,), direct sound and reverb.
        """
        if not len(direct):
            return direct
        self.level.aim(level)
        self.morph.aim(morph)
        room = self.rooms[0].process(direct)
        share = self.morph.next(len(direct))
        if len(self.rooms) == 2:
            room = room + share * (self.rooms[1].process(direct) - room)
        return np.asarray(direct + self.level.next(len(direct)) * room, np.float32)
