"""Play notes of the network in real time, in numpy, all voices together.

Time moves in ticks. Levels are decoded at frames, which are some ticks apart. Amplitudes change linearly in between.
A note that begins inside a tick counts fractions of ticks from then on, so it begins at its own sample. Its noise
begins at the next tick. `instruments.latent.compiled_voices` is the same in the kernels.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from instruments.channels import BREATH, EXPRESSION, VOLUME
from instruments.contract import VOICES, Touch, note_hz
from instruments.latent.frames import LEVELS, NOISE_DB, SILENT_DB, SLOT_RATIOS, SLOTS
from instruments.latent.late import frames_at
from instruments.latent.live_frames import STEPS
from instruments.latent.live_noise import LiveNoise
from instruments.latent.network import LatentNetwork, NoteStates
from instruments.latent.noise import BANDS
from instruments.latent.oscillators import oscillate
from instruments.latent.parameters import HARMONICS, HIGHEST_HZ, stretched
from instruments.latent.subbands import HOP, RATE
from neural_fx.arrays import Audio, Doubles

SINUSOIDS = HARMONICS + SLOTS
AUDIBLE_DB = -110.0
LONGEST_RELEASE = 600.0
"""Ticks after which a released note ends. The network has heard no longer releases."""
STEAL_TICKS = 2
MOST_FADING = 32
"""Stolen notes that fade out at once. Only keys that are struck many times within 5 ms make more."""
START_PHASES = np.pi * np.arange(SINUSOIDS, dtype=np.float64) ** 2 / SINUSOIDS
"""Sinusoids that all begin at phase 0 would make one high peak. These phases spread it."""
_OFFSETS = np.concatenate((np.zeros(SINUSOIDS), np.full(BANDS, NOISE_DB)))


class Control(Protocol):
    """Says what the voices play at the moment."""

    def tick(self) -> None:
        """Move on by one tick."""

    def timbre(self) -> Doubles:
        """Return the timbre, (timbre,)."""

    def gain_db(self) -> float:
        """Return the gain of all notes in dB."""


@dataclass
class _Note:
    """The note of a voice.

    Attributes:
        touch: how it is played.
        ticks: since its onset.
        release: tick of the release; infinite while it is held.
        sounding: whether it still makes sound.
        ticks_left: until the next frame is reached. Then another one is decoded.
        silent_frames: frames in a row in which the network called it silent.
        over: whether it ends at the next frame.
        peak_db: level of the loudest sinusoid or noise band at the next frame, without the gain.
        gain_db: of the last tick.
        levels: amplitudes of sinusoids and noise bands without the gain, (LEVELS,).
        frame: the same at the next frame.
        cents: distance to the pitch.
        frame_cents: the same at the next frame.
        ratios: of the sinusoids' frequencies to f0.
        phases: of the sinusoids at the end of the last tick, in radians.
        hz: of the sinusoids in the last tick.
        amplitudes: of the sinusoids at the end of the last tick.
        noise: powers of the noise bands at the end of the last tick.
    """

    touch: Touch = field(default_factory=Touch)
    ticks: float = 0.0
    release: float = np.inf
    sounding: bool = False
    ticks_left: int = 0
    silent_frames: int = 0
    over: bool = False
    peak_db: float = SILENT_DB
    gain_db: float = 0.0
    levels: Doubles = field(default_factory=lambda: np.zeros(LEVELS))
    frame: Doubles = field(default_factory=lambda: np.zeros(LEVELS))
    cents: float = 0.0
    frame_cents: float = 0.0
    ratios: Doubles = field(default_factory=lambda: np.zeros(SINUSOIDS))
    phases: Doubles = field(default_factory=START_PHASES.copy)
    hz: Doubles = field(default_factory=lambda: np.zeros(SINUSOIDS))
    amplitudes: Doubles = field(default_factory=lambda: np.zeros(SINUSOIDS))
    noise: Doubles = field(default_factory=lambda: np.zeros(BANDS))

    def approach_frame(self) -> None:
        """Move on by one tick towards the next frame."""
        share = 1 / self.ticks_left
        self.cents = self.cents + share * (self.frame_cents - self.cents)
        self.levels = self.levels + share * (self.frame - self.levels)
        self.ticks_left -= 1


class LatentVoices:
    """The voices of one performance. It implements `Family`.

    Args:
        network: with the decoder.
        control: says the timbre and the gain.
        seed: of the noise.
    """

    sample_rate = float(RATE)

    def __init__(self, network: LatentNetwork, control: Control, seed: int = 0) -> None:
        self._network = network
        self._control = control
        self._noise = LiveNoise(seed)
        self._notes = [_Note() for _ in range(VOICES)]
        self._fading: deque[tuple[_Note, int]] = deque(maxlen=MOST_FADING)
        self._tick = 0
        self._rendered = np.zeros(0)

    # -- notes -------------------------------------------------------------------------------------------------------

    def start(self, voice: int, touch: Touch) -> None:
        stolen = self._notes[voice]
        if stolen.sounding:
            self._fading.append((stolen, STEAL_TICKS))
        note = _Note(touch, sounding=True)
        self._notes[voice] = note
        if len(self._rendered):
            self._rendered = self._rendered + self._advance([note], len(self._rendered))

    def change(self, voice: int, touch: Touch) -> None:
        note = self._notes[voice]
        note.touch = touch
        if touch.held == (note.release == np.inf):
            return
        note.release = np.inf if touch.held else note.ticks
        # The frame that it moves to has not heard of this.
        note.ticks_left = 0

    def sounding(self, voice: int) -> bool:
        return self._notes[voice].sounding

    def level(self, voice: int) -> float:
        return self._notes[voice].peak_db + self._notes[voice].gain_db

    # -- sound -------------------------------------------------------------------------------------------------------

    def render(self, count: int) -> Audio:
        parts = [np.zeros(0)]
        while count > 0:
            if len(self._rendered) == 0:
                self._rendered = self._next_tick()
            part = self._rendered[:count]
            self._rendered = self._rendered[count:]
            parts.append(part)
            count -= len(part)
        return np.concatenate(parts).astype(np.float32)

    def _next_tick(self) -> Doubles:
        """Return all voices over the next tick, (HOP,)."""
        self._control.tick()
        notes = [note for note in self._notes if note.sounding]
        sound = self._advance(notes, HOP) if notes else np.zeros(HOP)
        powers = sum((note.noise for note in notes), np.zeros(BANDS))
        for note, left in self._fading:
            share = (left - 1) / left
            after = note.amplitudes * share
            faded, note.phases = oscillate(note.phases, note.hz, note.amplitudes, after)
            note.amplitudes = after
            note.noise = note.noise * share**2
            powers = powers + note.noise
            sound = sound + faded
        remaining = [(note, left - 1) for note, left in self._fading if left > 1]
        self._fading = deque(remaining, maxlen=MOST_FADING)
        self._tick += 1
        return sound + self._noise.play(powers)

    def _advance(self, notes: list[_Note], samples: int) -> Doubles:
        """Move notes on, and return the sum of their sinusoids, (samples,).

        Args:
            notes: at least one.
            samples: `HOP`, or fewer in the tick in which a note begins.
        """
        due = [note for note in notes if note.ticks_left == 0]
        for note in notes:
            if note.ticks_left == 0:
                partial = samples < HOP
                note.ticks_left = 1 if partial else STEPS.ticks_to_frame(note.ticks, note.release, self._tick)
            note.ticks += samples / HOP
        if due:
            self._decode(due)
        before = np.concatenate([note.amplitudes for note in notes])
        phases = np.concatenate([note.phases for note in notes])
        for note in notes:
            note.approach_frame()
            self._play(note)
        after = np.concatenate([note.amplitudes for note in notes])
        hz = np.concatenate([note.hz for note in notes])
        sound, phases = oscillate(phases, hz, before, after, samples)
        for i, note in enumerate(notes):
            note.phases = phases[i * SINUSOIDS : (i + 1) * SINUSOIDS]
        return sound

    def _play(self, note: _Note) -> None:
        """Set what a note plays at the end of this tick."""
        note.gain_db = touch_gain_db(note.touch) + self._control.gain_db()
        gain = 10 ** (note.gain_db / 20)
        note.hz = note_hz(note.touch.pitch + note.cents / 100) * note.ratios
        note.amplitudes = np.where(note.hz < HIGHEST_HZ, gain * note.levels[:SINUSOIDS], 0)
        note.noise = (gain * note.levels[SINUSOIDS:]) ** 2
        note.sounding = not (note.over and note.ticks_left == 0)

    def _decode(self, notes: list[_Note]) -> None:
        """Decode the next frames of notes, all together."""
        timbre = self._control.timbre()
        pitches = np.array([note.touch.pitch for note in notes])
        velocities = np.array([127 * note.touch.velocity for note in notes])
        ticks = np.array([note.ticks + note.ticks_left - 1 for note in notes])
        releases = np.array([note.release for note in notes])
        states = self._network.notes(np.tile(timbre, (len(notes), 1)), pitches, velocities)
        decoded = frames_at(self._network, states.hidden, ticks, releases)
        amplitudes = np.where(decoded.levels > AUDIBLE_DB, 10 ** ((decoded.levels - _OFFSETS) / 20), 0)
        for i, note in enumerate(notes):
            silent = decoded.alive[i] <= 0 and ticks[i] > 1
            note.silent_frames = note.silent_frames + 1 if silent else 0
            note.peak_db = float(decoded.levels[i].max())
            too_long = ticks[i] - note.release > LONGEST_RELEASE
            note.over = bool(note.silent_frames >= 2 or too_long or note.peak_db <= SILENT_DB)
            if note.over:
                note.peak_db = SILENT_DB
            note.frame = amplitudes[i] * (not note.over)
            if not note.ratios.any():  # the first frame
                note.cents = float(decoded.cents[i])
            note.frame_cents = float(decoded.cents[i])
            note.ratios = _ratios(states, i)


def touch_gain_db(touch: Touch) -> float:
    """Return the gain of a note in dB, as it is played at the moment."""
    # General MIDI recommends this curve for the volume.
    volume = 40 * math.log10(max(touch.controls.get(VOLUME, 1.0), 1e-3))
    swell = touch.controls.get(EXPRESSION, 1.0) + touch.controls.get(BREATH, 1.0) - 2
    return volume + 30 * swell + 6 * touch.pressure


def _ratios(states: NoteStates, note: int) -> Doubles:
    """Return the ratios of all sinusoids' frequencies to f0, (SINUSOIDS,)."""
    slots = SLOT_RATIOS * 2 ** (states.slot_cents[note] / 1200)
    return np.concatenate((stretched(float(states.inharmonicity[note])), slots))
