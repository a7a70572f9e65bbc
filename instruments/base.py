"""Define `Instrument`, the base class of all instruments, and collect what a family needs to implement one.

An instrument subclasses `Instrument` and implements `open_family`. This returns a `Family`, which makes the sound: it
starts, changes and releases voices, and renders the sum of them at one sample rate of its own.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np

from instruments.contract import VOICES, Family, Touch, note_hz
from instruments.messages import MidiEvent, parse_messages
from instruments.performance import Performance
from instruments.voices import VoiceAllocator
from neural_fx.arrays import Audio
from neural_fx.parameters import Parameter, Parametric

__all__ = [
    "PLAYING",
    "VOICES",
    "Audio",
    "Family",
    "Instrument",
    "MidiEvent",
    "Performance",
    "Players",
    "Touch",
    "note_hz",
    "parse_messages",
]

Players = VoiceAllocator  # the earlier name

PLAYING = (
    Parameter("octave", -3, 3, 0, "octaves", 0, "transposes by octaves"),
    Parameter("tuning", -100, 100, 0, "cents", description="tunes all notes"),
    Parameter("bend_range", 0, 24, 2, "semitones", 0, "range of a full pitch bend; RPN 0 of a channel overrides it"),
    Parameter("voices", 1, VOICES, VOICES, smoothing=0, description="most at once; 1 plays overlapping notes legato"),
    Parameter("glide", 0, 2, 0.05, "s", 0, "time of a slide between legato notes"),
    Parameter("loudness_db", -40, 20, 0, "dB", description="makes all notes louder or softer"),
)  # fmt: skip
"""The parameters of every instrument. A family puts its own behind them."""


class Instrument(Parametric):
    """Notes in, audio out.

    It is called like pedalboard's VST3 instruments, and its parameters are attributes.

    Args:
        parameters: start values by name.

    Raises:
        ParameterError: an unknown name (lists the valid ones) or a value out of range.
    """

    PARAMETERS: tuple[Parameter, ...] = PLAYING
    octave: float
    tuning: float
    bend_range: float
    voices: float
    glide: float
    loudness_db: float
    is_effect = False
    is_instrument = True

    def __init__(self, **parameters: float) -> None:
        super().__init__(**parameters)
        self._performance: Performance | None = None

    @property
    def sound(self) -> str:
        """Name of the sound, for lists and reports; the name of the class unless a family overrides it."""
        return type(self).__name__

    @abstractmethod
    def open_family(self) -> Family:
        """Return voices that have not played yet."""

    def __call__(
        self,
        midi_messages: Iterable[MidiEvent],
        duration: float,
        sample_rate: float,
        num_channels: int = 2,
        buffer_size: int = 8192,
        reset: bool = True,
    ) -> Audio:
        """Play MIDI messages.

        Messages of one time act in the given order, with one exception. If a key is struck again and the note-off of
        its old note has the same time, the note-off does not end the new note.

        Args:
            midi_messages: in any order, with times in seconds from the start of this call. Messages before 0 act at
                once. Messages after the end are left out.
            duration: seconds of audio to return.
            sample_rate: Hz.
            num_channels: of the result. All of them are equal.
            buffer_size: samples of the largest block that is rendered at once. The result does not depend on it.
            reset: True begins with silence, False continues the notes that sound.

        Returns:
            (num_channels, duration * sample_rate) float32.

        Raises:
            TypeError: one of the messages is not a MIDI message.
            NeuralFXError: the bytes or the time of a message are not valid.
            ValueError: the duration is negative or not finite, or another number is not positive.
        """
        if not (math.isfinite(duration) and duration >= 0):
            raise ValueError(f"duration: expected seconds, got {duration}")
        if not (math.isfinite(sample_rate) and sample_rate > 0) or num_channels < 1 or buffer_size < 1:
            raise ValueError("sample_rate, num_channels and buffer_size must be positive")
        events = parse_messages(midi_messages)
        count = round(duration * sample_rate)
        with self._lock:
            if reset or self._performance is None or self._performance.sample_rate != sample_rate:
                self._performance = Performance(self, float(sample_rate))
            mono = self._performance.play(events, count, buffer_size)
        return np.repeat(mono[None], num_channels, 0)

    process = __call__

    def reset(self) -> None:
        """End all notes that sound, at once."""
        with self._lock:
            self._performance = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without the notes that sound."""
        return {**super().__getstate__(), "_performance": None}

    def __repr__(self) -> str:
        return self.described(f"instruments.{type(self).__name__}")
