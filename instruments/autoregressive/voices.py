"""Play notes with an autoregressive network: frames of conditions, generation, level and de-emphasis."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from instruments.channels import BREATH, EXPRESSION, MODULATION, VOLUME
from instruments.contract import VOICES, Touch, note_hz
from neural_fx.arrays import Array, Audio, Doubles
from neural_fx.networks.autoregressive.compiled import CompiledGenerator
from neural_fx.networks.autoregressive.conditions import frame_conditions

if TYPE_CHECKING:
    from instruments.autoregressive.instrument import AutoregressiveInstrument

_SILENT_DB = -75.0  # below the loudest
_SMOOTHING = 0.2  # of a move of the level, in each frame
_VIBRATO_HZ, _VIBRATO = 5.5, 0.5  # semitones of a full modulation wheel
_FADE = 48  # samples of a beginning, and of the end of a stolen voice
_HELD = -1.0  # seconds since the release of a held note


@dataclass
class _Note:
    """The note of a voice. Positions are samples since the performance began."""

    touch: Touch = field(default_factory=Touch)
    sounding: bool = False
    onset: int = 0
    released: int | None = None
    base_db: float | None = None
    level_db: float = _SILENT_DB
    cycles: float = 0.0
    hz: float = 440.0
    gain: float = 0.0
    frame: Array = field(default_factory=lambda: np.zeros(4, np.float32))
    hop_frames: Array = field(default_factory=lambda: np.zeros((2, 4), np.float32))
    hop_cycles: Doubles = field(default_factory=lambda: np.zeros(0))
    hop_gains: Doubles = field(default_factory=lambda: np.zeros(0))


class AutoregressiveVoices:
    """The voices of one performance. It implements `Family`.

    Frames are those of the performance, and not of a note. So all voices go through the network together.

    Args:
        instrument: whose network and parameters apply.
        most: voices that play at once. A note beyond it steals the quietest, and is counted.
    """

    def __init__(self, instrument: AutoregressiveInstrument, most: int = VOICES) -> None:
        network = instrument.network
        self._instrument = instrument
        self._signal = network.description.signal
        self.sample_rate = float(self._signal.rate)
        self._generator = CompiledGenerator(network.description, network.weights, VOICES)
        self._notes = [_Note() for _ in range(VOICES)]
        self._most = most
        self._position = 0
        self._started = 0
        self._last = 0.0  # sample of the de-emphasis
        self._fading: Doubles = np.zeros(0)
        self._playing, self._voice = instrument.between()

    def start(self, voice: int, touch: Touch) -> None:
        self._steal(voice)
        self._started += 1
        self._generator.start(voice, round(self._instrument.seed) * 1_000_003 + self._started)
        note = _Note(touch, sounding=True, onset=self._position)
        self._notes[voice] = note
        note.frame = self._next_frame(note, self._position)
        if self._position % self._signal.hop:
            self._begin_hop([voice])

    def change(self, voice: int, touch: Touch) -> None:
        self._notes[voice].touch = touch
        if not touch.held and self._notes[voice].released is None:
            self._notes[voice].released = self._position

    def sounding(self, voice: int) -> bool:
        return self._notes[voice].sounding

    def level(self, voice: int) -> float:
        return self._notes[voice].level_db

    def render(self, count: int) -> Audio:
        parts = [np.zeros(0, np.float32)]
        while count > 0:
            offset = self._position % self._signal.hop
            if offset == 0:
                self._playing, self._voice = self._instrument.between()
                self._begin_hop([i for i, note in enumerate(self._notes) if note.sounding])
            size = min(count, self._signal.hop - offset)
            parts.append(self._mixed(offset, size))
            self._position += size
            count -= size
        return np.concatenate(parts)

    def _mixed(self, offset: int, size: int) -> Audio:
        out = np.zeros(size)
        active = [i for i, note in enumerate(self._notes) if note.sounding]
        if active:
            drawn = self._generate(active, offset, size)
            for i, samples in zip(active, drawn, strict=True):
                out += samples * self._notes[i].hop_gains[offset : offset + size]
        fading = self._fading[:size]
        out[: len(fading)] += fading
        self._fading = self._fading[size:]
        decay = self._signal.emphasis
        heard = list(accumulate(out.tolist(), lambda y, x: x + decay * y, initial=self._last))[1:]
        self._last = heard[-1] if abs(heard[-1]) > 1e-12 else 0.0
        return np.array(heard, np.float32)

    def _generate(self, active: list[int], offset: int, size: int) -> Array:
        for i in active:
            self._generator.set_temperature(i, self._instrument.temperature)
        notes = [self._notes[i] for i in active]
        return self._generator.generate(
            active,
            np.stack([note.hop_frames for note in notes]),
            np.stack([note.hop_cycles[offset : offset + size] for note in notes]),
            np.repeat(self._voice[None], len(active), 0),
            [offset] * len(active),
        )

    def _steal(self, voice: int) -> None:
        """Fade out the old note of a voice. If too many others sound, also fade out the quietest."""
        others = [i for i, note in enumerate(self._notes) if note.sounding and i != voice]
        stolen = [voice] if self._notes[voice].sounding else []
        if len(others) >= self._most:
            stolen.append(min(others, key=self.level))
        for i in stolen:
            self._instrument.stolen_voices += 1
            offset = self._position % self._signal.hop
            if offset:  # at a frame, the old hop is over
                size = min(_FADE, self._signal.hop - offset)
                fade = np.linspace(1, 0, size, endpoint=False) * self._notes[i].hop_gains[offset : offset + size]
                tail = np.zeros(max(size, len(self._fading)))
                tail[: len(self._fading)] = self._fading
                tail[:size] += fade * self._generate([i], offset, size)[0]
                self._fading = tail
            self._notes[i].sounding = False

    # -- frames ------------------------------------------------------------------------------------------------------

    def _begin_hop(self, voices: list[int]) -> None:
        """Make the conditions of voices up to the next frame."""
        hop = self._signal.hop
        begin = self._position - self._position % hop
        steps = np.arange(hop)
        for voice in voices:
            note = self._notes[voice]
            old_hz, old_gain = note.hz, note.gain
            following = self._next_frame(note, begin + hop)
            note.hop_frames = np.stack((note.frame, following))
            note.frame = following
            hz = old_hz + (note.hz - old_hz) * steps / hop
            offset = max(0, note.onset - begin)
            moved = np.cumsum(np.where(steps >= offset, hz, 0.0)) / self._signal.rate
            note.hop_cycles = note.cycles + np.concatenate(([0.0], moved[:-1]))
            note.cycles = (note.cycles + float(moved[-1])) % 1.0
            rising = np.clip((begin + steps - note.onset) / _FADE, 0, 1)
            note.hop_gains = rising * (old_gain + (note.gain - old_gain) * steps / hop)

    def _next_frame(self, note: _Note, position: int) -> Array:
        """Return the conditions at a position, and set the pitch and the gain there."""
        rate, frames = self._signal.rate, 1 / self._signal.hop
        touch, controls = note.touch, note.touch.controls
        since = (position - note.onset) / rate
        strength = controls.get(BREATH, touch.velocity)
        base = self._playing.held(touch.pitch, strength) + 6 * touch.pressure
        base += 30 * (controls.get(EXPRESSION, 1.0) - 1)
        note.base_db = base if note.base_db is None else note.base_db + _SMOOTHING * (base - note.base_db)
        level = note.base_db + self._playing.rise((position - note.onset) * frames)
        ended = _HELD
        if note.released is not None:
            ended = (position - note.released) / rate
            level += self._playing.fall((position - note.released) * frames)
        note.level_db = level
        if level < _SILENT_DB:
            note.sounding = False
        swing = _VIBRATO * controls.get(MODULATION, 0.0) * np.sin(2 * np.pi * _VIBRATO_HZ * since)
        note.hz = float(np.clip(note_hz(touch.pitch + swing), 20, 5000))
        known = max(self._playing.floor_db, min(level, 3.0))
        volume = 40 * np.log10(max(controls.get(VOLUME, 1.0), 1e-3)) + self._instrument.loudness_db
        note.gain = float(10 ** ((level + self._playing.loudest_db + volume) / 20))
        one = np.ones(1)
        return np.asarray(frame_conditions(note.hz * one, known * one, since * one, ended * one)[0])
