"""Notes in, audio out: the seam that neural instruments will be built on.

An instrument is called like pedalboard's VST3 instruments. No instrument ships yet; `Instrument` says what one must
do, so that scripts, boards and the bridge can be written against it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeAlias

import mido
import numpy as np
from numpy.typing import NDArray

__all__ = ["Instrument", "MidiEvent"]

MidiEvent: TypeAlias = "mido.Message | tuple[bytes, float]"
"""A mido message whose `time` is in seconds from the start, or raw bytes with seconds."""


class Instrument(Protocol):
    """Notes in, audio out."""

    def __call__(
        self,
        midi_messages: Iterable[MidiEvent],
        duration: float,
        sample_rate: float,
        num_channels: int = 2,
        buffer_size: int = 8192,
        reset: bool = True,
    ) -> NDArray[np.float32]:
        """Play.

        Args:
            midi_messages: in any order.
            duration: seconds of audio to return.
            sample_rate: Hz.
            num_channels: of the result.
            buffer_size: samples of the blocks it is worked on in.
            reset: False continues the notes that sound.

        Returns:
            (num_channels, samples).
        """
