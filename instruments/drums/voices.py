"""Play the hits of a kit: one voice for each sounding drum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from instruments.channels import EXPRESSION, VOLUME
from instruments.contract import VOICES, Touch
from instruments.drums.bands import RATE
from instruments.drums.classes import CHOKED_BY, GENERAL_MIDI, Piece
from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.parameters import Ramp, decibels

if TYPE_CHECKING:
    from instruments.drums.instrument import Drums

CHOKE_SAMPLES = 1440  # 30 ms: a closing hat is not cut off at once
LEVELS_DB = {
    "kick": -6.0, "snare": -8.0, "rim": -13.0, "clap": -10.0, "closed_hat": -18.0, "open_hat": -17.0,
    "low_tom": -9.0, "mid_tom": -7.5, "high_tom": -9.0, "crash": -14.5, "ride": -17.0, "cowbell": -16.0,
    "shaker": -20.0, "tambourine": -19.5,
}  # fmt: skip
"""Peak of the hardest stroke of each class: the balance of a kit."""

VELOCITY_DB = 30.0  # from the softest to the hardest stroke
_LOOK_SAMPLES = 480


@dataclass
class _Sound:
    """A hit that plays.

    Attributes:
        audio: its samples.
        piece: of the kit.
        channel: MIDI channel of the stroke.
        gain: linear.
        position: samples that have been played.
        fade_start: position at which a fade-out begins, or -1.
        fade_samples: length of the fade-out.
    """

    audio: Audio
    piece: Piece
    channel: int
    gain: float
    position: int = 0
    fade_start: int = -1
    fade_samples: int = 1

    @property
    def end(self) -> int:
        return len(self.audio) if self.fade_start < 0 else min(len(self.audio), self.fade_start + self.fade_samples)

    def fade(self, samples: int) -> None:
        """Fade out from the next sample on, unless an earlier fade ends sooner."""
        if self.fade_start < 0 or self.position + samples < self.fade_start + self.fade_samples:
            self.fade_start = self.position
            self.fade_samples = samples

    def next(self, count: int) -> Audio:
        """Return up to `count` more samples."""
        stop = min(self.position + count, self.end)
        part = self.audio[self.position : stop] * np.float32(self.gain)
        if self.fade_start >= 0:
            since = np.arange(self.position, stop) - self.fade_start
            part = part * np.clip(1 - since / self.fade_samples, 0, 1).astype(np.float32)
        self.position = stop
        return part


class DrumVoices:
    """The drums of one performance.

    A stroke always plays to its end: notes may be as short as the sequencer likes. A closed hi-hat ends an
    open one of its channel.

    Args:
        instrument: whose hits and parameters apply.
    """

    sample_rate = float(RATE)

    def __init__(self, instrument: Drums) -> None:
        self._instrument = instrument
        self._kit = instrument.kit
        self._sounds: list[_Sound | None] = [None] * VOICES
        self._ending: list[_Sound] = []  # of stolen voices
        self._loudness = Ramp(decibels(instrument.loudness_db), round(blocks.SMOOTHING_SECONDS * RATE))

    def start(self, voice: int, touch: Touch) -> None:
        """Strike a drum. Keys without a drum are silent."""
        stolen = self._sounds[voice]
        self._sounds[voice] = None
        if stolen is not None:
            stolen.fade(blocks.STOLEN_VOICE_FADE)
            self._ending.append(stolen)
        piece = GENERAL_MIDI.get(touch.note)  # bend and tuning do not choose another drum
        if piece is None:
            return
        for sound in self._sounds:
            if sound is None or sound.channel != touch.channel:
                continue
            if CHOKED_BY.get(sound.piece.drum) == piece.drum:
                sound.fade(CHOKE_SAMPLES)
        audio = self._kit.hit(piece, touch.velocity)
        self._sounds[voice] = _Sound(audio, piece, touch.channel, self._gain(piece, touch))

    def change(self, voice: int, touch: Touch) -> None:
        """Do nothing: a drum that was struck rings by itself."""

    def sounding(self, voice: int) -> bool:
        """Return whether a voice still makes sound."""
        sound = self._sounds[voice]
        return sound is not None and sound.position < sound.end

    def level(self, voice: int) -> float:
        """Return the level of the next 10 ms of a voice, in dB."""
        sound = self._sounds[voice]
        if sound is None:
            return -200.0
        ahead = sound.audio[sound.position : sound.position + _LOOK_SAMPLES]
        return float(20 * np.log10(sound.gain * np.abs(ahead).max(initial=0.0) + 1e-10))

    def render(self, count: int) -> Audio:
        """Return the next (count,) samples of all drums together."""
        out = np.zeros(count, np.float32)
        for sound in (*self._sounds, *self._ending):
            if sound is not None:
                part = sound.next(count)
                out[: len(part)] += part
        self._ending = [sound for sound in self._ending if sound.position < sound.end]
        self._loudness.aim(decibels(self._instrument.loudness_db))
        return out * self._loudness.next(count)

    def _gain(self, piece: Piece, touch: Touch) -> float:
        controls = touch.controls
        channel = controls.get(VOLUME, 1.0) * controls.get(EXPRESSION, 1.0)
        own = self._instrument.class_level_db(piece.drum)
        db = LEVELS_DB[piece.drum] + own + VELOCITY_DB * (touch.velocity - 1)
        return decibels(db) * channel**2
