"""Define what a family of instruments implements: `Family` makes voices sound, and `Touch` says how they are played.

A family never sees MIDI. `instruments.voices` turns the messages into `Touch` objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neural_fx.arrays import Audio

VOICES = 8
"""The most voices that can sound at once."""


@dataclass
class Touch:
    """How a voice is played at the moment.

    Attributes:
        pitch: MIDI note number with tuning, glide and bend: 69.0 is 440 Hz.
        velocity: 0..1, of the note.
        pressure: 0..1, of aftertouch.
        controls: values 0..1 of the MIDI controllers that were moved, by number.
        held: whether the key or a pedal holds the note.
        note: 0..127, number of the key that was struck, without tuning, glide and bend.
        channel: 0..15, MIDI channel of the note.
    """

    pitch: float = 69.0
    velocity: float = 0.0
    pressure: float = 0.0
    controls: dict[int, float] = field(default_factory=dict)
    held: bool = False
    note: int = 69
    channel: int = 0


class Family(Protocol):
    """Voices that make sound. They are numbered from 0 to `VOICES` - 1.

    Attributes:
        sample_rate: Hz at which it renders.
    """

    sample_rate: float

    def start(self, voice: int, touch: Touch) -> None:
        """Begin a note at the next sample.

        Args:
            voice: number of the voice. If it still sounds, it is stolen.
            touch: how the note is played.
        """

    def change(self, voice: int, touch: Touch) -> None:
        """Change a voice from the next sample on.

        Args:
            voice: number of the voice.
            touch: how it is played now. The note is released when `held` becomes False.
        """

    def sounding(self, voice: int) -> bool:
        """Return whether a voice still makes sound."""

    def level(self, voice: int) -> float:
        """Return roughly how loud a voice is, in dB. The quietest released voice is stolen first."""

    def render(self, count: int) -> Audio:
        """Render the next `count` samples of all voices together: (count,) float32."""


def note_hz(pitch: NDArray[Any] | float) -> Any:
    """Convert MIDI note numbers, fractions allowed, to frequencies in Hz."""
    return 440.0 * 2 ** ((np.asarray(pitch) - 69) / 12)
