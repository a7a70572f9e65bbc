"""Render the voices of a timbre hop by hop, with the attack, release and vibrato of its recordings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from instruments.channels import BREATH, BRIGHTNESS, EXPRESSION, MODULATION, VOLUME
from instruments.contract import VOICES, Touch, note_hz
from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.parameters import Ramp
from neural_fx.timbre.analysis import HOP, RATE
from neural_fx.timbre.files import Habits
from neural_fx.timbre.synthesizer import Rooms, Score, Synthesizer

if TYPE_CHECKING:
    from instruments.ddsp import DDSP

_KNOBS = ("brightness", "breath", "morph", "loudness_db")
_KNOB_HOPS = 12  # that a move of a knob takes


_SETTLED_CONFIDENCE = 0.98  # of the pitch of a steady tone
_SILENT_DB = -95.0
_VIBRATO_BEGINS, _VIBRATO_FULL = 0.3, 0.9  # seconds into a note
# Rooms in recordings make attacks and releases slower than the player was, so both have limits.
_SLOWEST_ATTACK = 0.12  # seconds
_SLOWEST_RELEASE = 150.0  # dB per second
_FASTEST_ATTACK = 0.01  # seconds
_LEAST_VIBRATO = 6.0  # cents, for timbres whose recordings have none

PLAYING = {
    "confidence": _SETTLED_CONFIDENCE, "silent_db": _SILENT_DB, "vibrato_begins": _VIBRATO_BEGINS,
    "vibrato_full": _VIBRATO_FULL, "slowest_attack": _SLOWEST_ATTACK, "slowest_release": _SLOWEST_RELEASE,
    "fastest_attack": _FASTEST_ATTACK, "least_vibrato": _LEAST_VIBRATO, "fade": blocks.STOLEN_VOICE_FADE,
}  # fmt: skip
"""How notes begin and end, for the compiled voices."""


@dataclass
class _Note:
    """The note of a voice.

    Attributes:
        touch: how it is played.
        frames: rendered since it began.
        released_frames: rendered since its release.
        sounding: whether it still makes sound.
        loudness: of its last frame, in dB.
        rendered: (samples,) that are rendered, but not yet played.
    """

    touch: Touch = field(default_factory=Touch)
    frames: int = 0
    released_frames: int = 0
    sounding: bool = False
    loudness: float = _SILENT_DB
    rendered: Audio = field(default_factory=lambda: np.zeros(0, np.float32))


class _Frame(NamedTuple):
    """What a voice plays in one hop, as in `Score`. The pitch is a MIDI note number."""

    pitch: float
    confidence: float
    loudness_db: float
    gain_db: float
    brightness: float


class DDSPVoices:
    """The voices of one performance. All of them are computed together, hop by hop.

    It implements `Family`.

    Args:
        instrument: whose timbres and parameters apply.
    """

    sample_rate = float(RATE)

    def __init__(self, instrument: DDSP) -> None:
        self._instrument = instrument
        self._synthesizer = Synthesizer(instrument.timbres, VOICES)
        self._rooms = Rooms(instrument.timbres, instrument.reverb, instrument.morph)
        self._ramps = {name: Ramp(getattr(instrument, name), _KNOB_HOPS) for name in _KNOBS}
        self._knobs = {name: float(getattr(instrument, name)) for name in _KNOBS}
        self._notes = [_Note() for _ in range(VOICES)]
        self._hop_position = 0  # samples of the current hop that are played

    # -- notes -------------------------------------------------------------------------------------------------------

    def start(self, voice: int, touch: Touch) -> None:
        fading = self._notes[voice].rendered[: blocks.STOLEN_VOICE_FADE]
        fading = fading * np.linspace(1, 0, len(fading), endpoint=False, dtype=np.float32)
        self._synthesizer.restart(voice)
        note = _Note(touch, sounding=True)
        self._notes[voice] = note
        if self._hop_position:
            # The note begins inside a hop of the others. Its own hops stay ahead of theirs by the rest of its first.
            note.rendered = self._synthesize([voice])[0]
        if len(fading):
            missing = max(0, len(fading) - len(note.rendered))
            note.rendered = np.concatenate((note.rendered, np.zeros(missing, np.float32)))
            note.rendered[: len(fading)] += fading

    def change(self, voice: int, touch: Touch) -> None:
        self._notes[voice].touch = touch

    def sounding(self, voice: int) -> bool:
        return self._notes[voice].sounding

    def level(self, voice: int) -> float:
        return self._notes[voice].loudness

    # -- sound -------------------------------------------------------------------------------------------------------

    def render(self, count: int) -> Audio:
        parts = []
        while count > 0:
            if self._hop_position == 0:
                self._next_hop()
            size = min(count, HOP - self._hop_position)
            parts.append(self._mixed(size))
            self._hop_position = (self._hop_position + size) % HOP
            count -= size
        direct = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        return self._rooms.process(direct, self._instrument.reverb, self._instrument.morph)

    def _mixed(self, size: int) -> Audio:
        """Remove the next rendered samples of all voices, and return their sum: (size,)."""
        out = np.zeros(size, np.float32)
        for note in self._notes:
            if len(note.rendered):
                part = note.rendered[:size]
                note.rendered = note.rendered[size:]
                out[: len(part)] += part
        return out

    def _next_hop(self) -> None:
        """Move the knobs, and render the next hop of the voices that sound."""
        for name, ramp in self._ramps.items():
            ramp.aim(getattr(self._instrument, name))
            self._knobs[name] = float(np.atleast_1d(ramp.next(1))[0])
        sounding = [i for i, note in enumerate(self._notes) if note.sounding]
        if not sounding:
            return
        for voice, audio in zip(sounding, self._synthesize(sounding), strict=True):
            note = self._notes[voice]
            waiting = len(note.rendered)
            if waiting and note.frames == 1:  # a stolen note fades out where this one begins
                audio[:waiting] += note.rendered
                note.rendered = audio
            else:
                note.rendered = np.concatenate((note.rendered, audio))

    def _synthesize(self, voices: list[int]) -> Audio:
        """Render the next hop of some voices: (voices, HOP)."""
        first, last = self._instrument.timbres[0].habits, self._instrument.timbres[-1].habits
        habits = first.between(last, self._knobs["morph"])
        frames = np.array([self._frame(self._notes[voice], habits) for voice in voices])[:, :, None]
        pitch, confidence, loudness, gain, brightness = (frames[:, i] for i in range(len(_Frame._fields)))
        score = Score(
            f0_hz=np.clip(note_hz(pitch), 20, 12000),
            confidence=confidence,
            loudness_db=loudness,
            gain_db=gain,
            brightness=brightness,
            breath=self._knobs["breath"],
            morph=self._knobs["morph"],
        )
        return self._synthesizer.process(score, voices)

    # -- how notes are played ----------------------------------------------------------------------------------------

    def _frame(self, note: _Note, habits: Habits) -> _Frame:
        """Return the next frame of a note."""
        note.frames += 1
        seconds = note.frames * HOP / RATE
        controls = note.touch.controls
        attack = habits.attack_seconds * (1.4 - 0.8 * note.touch.velocity)  # harder notes rise faster
        attack = min(_SLOWEST_ATTACK, max(_FASTEST_ATTACK, attack))
        rising = max(0.0, 1 - seconds / attack)  # from 1 to 0
        note.loudness = self._loudness(note.touch, habits) - 30 * rising**2
        if note.touch.held:
            note.released_frames = 0
        else:
            self._fade(note, habits)
        return _Frame(
            pitch=note.touch.pitch + self._vibrato(note.touch, habits, seconds),
            confidence=_SETTLED_CONFIDENCE - 0.3 * rising,
            loudness_db=note.loudness,
            gain_db=40 * np.log10(max(controls.get(VOLUME, 1.0), 1e-3)),  # as General MIDI recommends
            brightness=self._knobs["brightness"] + 8 * (controls.get(BRIGHTNESS, 0.5) - 0.5),
        )

    def _loudness(self, touch: Touch, habits: Habits) -> float:
        """Return the loudness of a held note after its attack, in dB."""
        # The softest note is 8 dB below the quiet tones of the recordings, and the hardest 3 dB above the loud ones.
        strength = touch.controls.get(BREATH, touch.velocity)
        loudness: float = habits.quiet_db - 8 + strength**0.8 * (habits.loud_db - habits.quiet_db + 11)
        expression = 30 * (touch.controls.get(EXPRESSION, 1.0) - 1)
        return loudness + (expression + 6 * touch.pressure + self._knobs["loudness_db"])

    def _fade(self, note: _Note, habits: Habits) -> None:
        """Lower a released note by one more frame, and end it when it is silent."""
        note.released_frames += 1
        release = max(_SLOWEST_RELEASE, habits.release_db_per_second)
        note.loudness -= release * note.released_frames * HOP / RATE
        if note.loudness < _SILENT_DB:
            note.sounding = False

    def _vibrato(self, touch: Touch, habits: Habits, seconds: float) -> float:
        """Return the vibrato in semitones, some seconds into a note."""
        late = min(1.0, max(0.0, (seconds - _VIBRATO_BEGINS) / (_VIBRATO_FULL - _VIBRATO_BEGINS)))
        habit = max(_LEAST_VIBRATO, habits.vibrato_cents) * late
        cents = habit + 50 * touch.controls.get(MODULATION, 0.0) + 20 * touch.pressure
        swing = np.sin(2 * np.pi * habits.vibrato_hz * seconds)
        return float(self._instrument.vibrato * cents / 100 * swing)
