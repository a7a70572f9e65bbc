"""Render an instrument as a stream of audio, with MIDI messages between the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mido
import numpy as np

from instruments.voices import VoiceAllocator
from neural_fx.arrays import Audio
from neural_fx.resampled import ResampledStage

if TYPE_CHECKING:
    from instruments.base import Instrument


class Performance:
    """One performance of an instrument. It renders at the family's rate, and converts to the caller's.

    Args:
        instrument: that plays.
        sample_rate: of the output, in Hz.

    Attributes:
        sample_rate: of the output, in Hz.
        family: makes the sound.
        allocator: applies messages to the family's voices.
    """

    def __init__(self, instrument: Instrument, sample_rate: float) -> None:
        self.sample_rate = sample_rate
        self.family = instrument.open_family()
        self.allocator = VoiceAllocator(instrument, self.family)
        self._family_rate = self.family.sample_rate
        self._output = _OutputQueue(self._family_rate, sample_rate)
        self._returned = 0  # samples at the caller's rate
        self._rendered = 0  # samples at the family's rate

    def play(self, events: list[tuple[float, mido.Message]], count: int, block: int) -> Audio:
        """Render the next samples.

        Args:
            events: seconds from the start of these samples and message, in the order of time. Messages after the end
                are left out.
            count: samples to return, at the caller's rate.
            block: samples of the largest block that is rendered at once.

        Returns:
            (count,) float32.
        """
        # All positions are counted from the beginning of the performance. So no rounding error builds up.
        start_seconds = self._returned / self.sample_rate
        for seconds, message in events:
            if seconds * self.sample_rate < count:
                self._render_until(round((start_seconds + seconds) * self._family_rate), block)
                self.allocator.receive(message)
        self._returned += count
        self._render_until(round(self._returned * self._family_rate / self.sample_rate), block)
        return self._output.read(count)

    def _render_until(self, position: int, block: int) -> None:
        """Render up to a position, counted in samples at the family's rate."""
        while self._rendered < position:
            size = min(position - self._rendered, block, self.allocator.samples_to_update)
            self._output.write(self.family.render(size))
            self.allocator.advance(size)
            self._rendered += size


class _OutputQueue:
    """Audio that is rendered, but not yet returned. It is kept at the caller's rate.

    A rate converter looks ahead, and returns its first samples late. So silence comes first if the rates differ.

    Args:
        family_rate: of the audio that is written, in Hz.
        sample_rate: of the audio that is read, in Hz.
    """

    def __init__(self, family_rate: float, sample_rate: float) -> None:
        self._stage = ResampledStage(sample_rate, family_rate, 1)
        # The latency is that of both ways, so it is more than enough for one.
        self._parts: list[Audio] = [np.zeros(self._stage.latency_samples(), np.float32)]

    def write(self, audio: Audio) -> None:
        """Add the next samples, (samples,) at the family's rate."""
        self._parts.append(self._stage.back(audio[None])[0])

    def read(self, count: int) -> Audio:
        """Return and remove the next samples: (count,) at the caller's rate."""
        queued = np.concatenate(self._parts)
        missing = count - len(queued)
        if missing > 0:  # the converter holds back a little more than expected
            queued = np.concatenate((np.zeros(missing, np.float32), queued))
        self._parts = [queued[count:]]
        return queued[:count]
