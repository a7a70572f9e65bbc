"""Play notes of the network in real time, in numpy, all voices together.

Time moves in ticks. Levels are decoded at every tick and change linearly in between. A note that begins inside a tick
counts fractions of ticks from then on, so it begins at its own sample. Its noise begins at the next tick.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from instruments.channels import BREATH, EXPRESSION, VOLUME
from instruments.contract import VOICES, Touch, note_hz
from instruments.latent.frames import NOISE_DB, SILENT_DB, SLOT_RATIOS, SLOTS
from instruments.latent.late import frames_at
from instruments.latent.live_noise import LiveNoise
from instruments.latent.network import LatentNetwork
from instruments.latent.noise import BANDS
from instruments.latent.oscillators import oscillate
from instruments.latent.parameters import HARMONICS, HIGHEST_HZ, stretched
from instruments.latent.subbands import HOP, RATE
from neural_fx.arrays import Audio, Doubles

SINUSOIDS = HARMONICS + SLOTS
_AUDIBLE_DB = -110.0
_LONGEST_RELEASE = 600.0
"""Ticks after which a released note ends. The network has heard no longer releases."""
_STEAL_TICKS = 2
# Sinusoids that all begin at phase 0 would make one high peak. These phases spread it.
_START_PHASES = np.pi * np.arange(SINUSOIDS, dtype=np.float64) ** 2 / SINUSOIDS


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
        silent_ticks: ticks in a row in which the network called it silent.
        level_db: of the loudest sinusoid or noise band.
        phases: of the sinusoids at the end of the last tick, in radians.
        hz: of the sinusoids in the last tick.
        amplitudes: of the sinusoids at the end of the last tick.
        noise: powers of the noise bands at the end of the last tick.
    """

    touch: Touch = field(default_factory=Touch)
    ticks: float = 0.0
    release: float = np.inf
    sounding: bool = False
    silent_ticks: int = 0
    level_db: float = SILENT_DB
    phases: Doubles = field(default_factory=_START_PHASES.copy)
    hz: Doubles = field(default_factory=lambda: np.zeros(SINUSOIDS))
    amplitudes: Doubles = field(default_factory=lambda: np.zeros(SINUSOIDS))
    noise: Doubles = field(default_factory=lambda: np.zeros(BANDS))


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
        self._fading: list[tuple[_Note, int]] = []
        self._rendered = np.zeros(0)

    # -- notes -------------------------------------------------------------------------------------------------------

    def start(self, voice: int, touch: Touch) -> None:
        stolen = self._notes[voice]
        if stolen.sounding:
            self._fading.append((stolen, _STEAL_TICKS))
        note = _Note(touch, sounding=True)
        self._notes[voice] = note
        if len(self._rendered):
            self._rendered = self._rendered + self._advance([note], len(self._rendered))

    def change(self, voice: int, touch: Touch) -> None:
        note = self._notes[voice]
        note.touch = touch
        if touch.held:
            note.release = np.inf
        elif note.release == np.inf:
            note.release = note.ticks

    def sounding(self, voice: int) -> bool:
        return self._notes[voice].sounding

    def level(self, voice: int) -> float:
        return self._notes[voice].level_db

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
        self._fading = [(note, left - 1) for note, left in self._fading if left > 1]
        return sound + self._noise.play(powers)

    def _advance(self, notes: list[_Note], samples: int) -> Doubles:
        """Move notes on, and return the sum of their sinusoids, (samples,).

        Args:
            notes: at least one.
            samples: `HOP`, or fewer in the tick in which a note begins.
        """
        for note in notes:
            note.ticks += samples / HOP
        levels, hz = self._decoded(notes)
        before = np.concatenate([note.amplitudes for note in notes])
        phases = np.concatenate([note.phases for note in notes])
        sinusoids = levels[:, :SINUSOIDS]
        amplitudes = np.where((sinusoids > _AUDIBLE_DB) & (hz < HIGHEST_HZ), 10 ** (sinusoids / 20), 0)
        sound, phases = oscillate(phases, hz.reshape(-1), before, amplitudes.reshape(-1), samples)
        bands = levels[:, SINUSOIDS:]
        powers = np.where(bands > _AUDIBLE_DB, 10 ** ((bands - NOISE_DB) / 10), 0)
        for i, note in enumerate(notes):
            note.phases = phases[i * SINUSOIDS : (i + 1) * SINUSOIDS]
            note.hz = hz[i]
            note.amplitudes = amplitudes[i]
            note.noise = powers[i]
            note.level_db = float(levels[i].max())
            note.sounding = note.level_db > SILENT_DB
        return sound

    def _decoded(self, notes: list[_Note]) -> tuple[Doubles, Doubles]:
        """Return the levels in dB, (notes, levels), and the frequencies in Hz, (notes, SINUSOIDS)."""
        timbre = self._control.timbre()
        pitches = np.array([note.touch.pitch for note in notes])
        velocities = np.array([127 * note.touch.velocity for note in notes])
        ticks = np.array([note.ticks for note in notes])
        releases = np.array([note.release for note in notes])
        states = self._network.notes(np.tile(timbre, (len(notes), 1)), pitches, velocities)
        decoded = frames_at(self._network, states.hidden, ticks, releases)
        levels = decoded.levels + np.array([self._gain_db(note.touch) for note in notes])[:, None]
        for i, note in enumerate(notes):
            silent = decoded.alive[i] <= 0 and note.ticks > 1
            note.silent_ticks = note.silent_ticks + 1 if silent else 0
            if note.silent_ticks >= 2 or note.ticks - note.release > _LONGEST_RELEASE:
                levels[i] = SILENT_DB
        stretch = np.stack([stretched(float(b)) for b in states.inharmonicity])
        slots = SLOT_RATIOS * 2 ** (states.slot_cents / 1200)
        f0 = note_hz(pitches + decoded.cents / 100)
        return levels, f0[:, None] * np.concatenate((stretch, slots), axis=1)

    def _gain_db(self, touch: Touch) -> float:
        """Return the gain of a note in dB."""
        # General MIDI recommends this curve for the volume.
        volume = 40 * np.log10(max(touch.controls.get(VOLUME, 1.0), 1e-3))
        swell = touch.controls.get(EXPRESSION, 1.0) + touch.controls.get(BREATH, 1.0) - 2
        return float(volume + 30 * swell + 6 * touch.pressure + self._control.gain_db())
