"""One stream of a hosted board: blocks in, blocks out, whatever the board does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import mido
import numpy as np

from bridge.host.changes import Change, Schedule, change_of, last_ones
from bridge.host.hosted import Hosted
from bridge.host.targets import SWITCH, Targets
from bridge.host.telemetry import Peaks, Telemetry
from bridge.protocol import Event
from neural_fx.arrays import Audio
from neural_fx.audio_queue import Queue
from neural_fx.dry_wet import DryWet, crossfade, fade_in
from neural_fx.errors import NeuralFXError, ParameterError, reason
from neural_fx.interruption import checkpoint
from neural_fx.parameters import Ramp
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Spec

FADE_SECONDS = 0.02
WARM_SECONDS = 0.15
"""A new board plays along, unheard, for this long before it fades in: longer than any common receptive field."""


def _nothing() -> None:
    """Do nothing."""


def _as_it_is(board: Pedalboard) -> None:
    """Leave a board as it is."""


def _why(error: Exception) -> str:
    known = isinstance(error, (NotFiniteError, NeuralFXError))
    return reason(error) if known else f"{type(error).__name__}: {reason(error)}"


class NotFiniteError(Exception):
    """A board made NaN or infinite samples."""


def _finite(audio: Audio) -> Audio:
    """Return the audio.

    Raises:
        NotFiniteError: it has NaN or infinite samples.
    """
    if not np.isfinite(audio).all():
        raise NotFiniteError("its output is not finite (NaN or infinite)")
    return audio


class Voice:
    """A board on one stream: as many samples out as in, `latency` samples late."""

    def __init__(self, board: Hosted, spec: Spec) -> None:
        self.board = board
        self.targets = Targets(board)
        board.open_stream(spec)
        self.latency = board.latency_samples
        self.ready = Queue(spec.channels)
        self.ready.put_silence(self.latency)

    def process(self, block: Audio) -> Audio:
        """Return the output for a block (channels, frames) of any length up to the stream's.

        Raises:
            Interrupted: nobody waits for the block any more.
        """
        for part in self.board.push(block):
            checkpoint()
            self.ready.put(part)
        missing = block.shape[1] - len(self.ready)
        if missing > 0:  # a member held back more than it had said: time stays, a gap is heard
            self.ready.put_silence(missing)
        return self.ready.take(block.shape[1])


class BoardStream:
    """One stream of a hosted board. `process` belongs to one engine thread; everything else to any.

    Attributes:
        late: blocks that took longer to compute than to play.
        load: share of the time that computing takes, smoothed.
        peaks: largest magnitudes (in, out) of the latest blocks.
        share: of the CPU's load, as `LivePlacement.put` told it.
        fit: called with a board before it is opened on this stream.
        refused: called with (address, sentence) for a change that cannot be made; "" is the address of MIDI. None:
            `failed` gets the sentence, except for MIDI.
        wake: called after a change was kept or another board was set, for an engine that does not look by itself.
    """

    def __init__(self, board: Hosted, spec: Spec, failed: Callable[[str], None]) -> None:
        self.spec, self.failed = spec, failed
        self.voice, self.next = Voice(board, spec), None
        self.schedule = Schedule(spec.sample_rate)
        self._dropped = 0
        self.refused: Callable[[str, str], None] | None = None
        self.muted = False
        self.bypass = 0.0
        self.blocks = self.late = 0
        self.load = self.share = 0.0
        self.peaks = Peaks()
        self._wet = Ramp(1.0, round(FADE_SECONDS * spec.sample_rate))
        self._dry_wet = DryWet(spec.channels, self.voice.latency)
        self._warming = self._faded = 0
        self.fit: Callable[[Pedalboard], object] = _as_it_is
        self.wake: Callable[[], None] = _nothing

    next: Voice | None

    @property
    def latency(self) -> int:
        """Samples that the output is behind the input."""
        return self.voice.latency

    def telemetry(self, marker: int = 0) -> Telemetry:
        """Return a snapshot. Any thread may call this; it takes nothing from other observers.

        Args:
            marker: of the caller's previous snapshot, for peaks since then; 0 for the latest blocks.
        """
        count = self.peaks.count
        return Telemetry(
            blocks=self.blocks,
            late=self.late,
            load=self.load,
            latency=self.latency,
            muted=self.muted,
            peaks=self.peaks.since(marker, count),
            marker=count,
        )

    def change(self, change: Change) -> None:
        """Keep a change for its block. Any thread may call this, one at a time."""
        self.schedule.add(change)
        self.wake()

    def prepared(self, board: Pedalboard) -> Voice:
        """Make a board ready for this stream, off its thread."""
        hosted = type(self.voice.board)(board)
        self.fit(hosted)
        return Voice(hosted, self.spec)

    def replace(self, voice: Voice) -> None:
        """Play a prepared board along from the next block on, and fade over to it."""
        self._warming = round(WARM_SECONDS * self.spec.sample_rate)
        self._faded = 0
        self.next = voice
        self.wake()

    def process(self, block: Audio, events: Sequence[Event] = ()) -> Audio:
        """Return the output for the next block (channels, frames). Never raises, never returns another length."""
        began = time.perf_counter()
        try:
            out = _finite(self._scheduled(block, events))
        except Exception as error:  # a board of plugins by anyone can raise anything
            self.muted = True
            self.failed(f"the board failed and is bypassed: {_why(error)}")
            self._dry_wet = DryWet(self.spec.channels, self.voice.latency)
            out = self._through(block)
        self._count(block, out, time.perf_counter() - began)
        return out

    def _scheduled(self, block: Audio, events: Sequence[Event]) -> Audio:
        changes = [*self._asked(events), *self.schedule.due(block.shape[1])]
        self._report_dropped()
        parts, at, count = [], 0, block.shape[1]
        for change in last_ones(sorted(changes, key=lambda change: change.offset)):
            place = min(max(change.offset, at), count)
            if place > at:
                parts.append(self._play(block[:, at:place]))
                at = place
            checkpoint()
            self._do(change)
        if at < count or not parts:
            parts.append(self._play(block[:, at:]))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, 1)

    def _report_dropped(self) -> None:
        dropped = self.schedule.dropped
        if dropped > self._dropped:
            self.failed(f"{dropped - self._dropped} changes dropped: too many wait for one stream")
            self._dropped = dropped

    def _asked(self, events: Sequence[Event]) -> Iterator[Change]:
        for event in events:
            try:
                yield change_of(event, self.voice.board.takes_notes)
            except ParameterError as error:
                self._refuse(event.address, str(error))

    def _refuse(self, address: str, sentence: str) -> None:
        if self.refused is not None:
            self.refused(address, sentence)
        elif address:
            self.failed(sentence)

    def _do(self, change: Change) -> None:
        if change.address == "bypass":
            try:
                self.bypass = SWITCH.check(change.value)
            except ParameterError as error:
                self._refuse(change.address, str(error))
            return
        for voice in (self.voice, self.next):
            if voice is not None:
                try:
                    if isinstance(change.value, mido.Message):
                        voice.board.play(change.value)
                    else:
                        voice.targets.get(change.address).set(change.value)
                except NeuralFXError as error:
                    self._refuse(change.address, str(error))

    def _play(self, block: Audio) -> Audio:
        if self.muted and self.next is not None:  # what failed is not played again, so there is nothing to fade from
            self.voice, self.next, self.muted = self.next, None, False
        if self.muted:
            return self._through(block)
        wet = self.voice.process(block)
        newer = self._next_block(block)
        if newer is not None:
            wet = self._faded_over(wet, newer)
        self._dry_wet.put(block)
        self._wet.aim(1.0 - self.bypass)
        return self._dry_wet.blend(wet, self._wet.next(block.shape[1]))

    def _next_block(self, block: Audio) -> Audio | None:
        """Return what the board that fades in makes of a block; one that fails is given up, and the old one stays."""
        if self.next is None:
            return None
        try:
            return _finite(self.next.process(block))  # it may not be heard yet, so nobody else looks at it
        except Exception as error:
            self.next = None
            self.failed(f"the new board failed, and the old one stays: {_why(error)}")
            return None

    def _faded_over(self, old: Audio, new: Audio) -> Audio:
        count = old.shape[1]
        self._warming -= count
        if self._warming > 0:
            return old
        length = round(FADE_SECONDS * self.spec.sample_rate)
        weight = fade_in(self._faded, count, length)
        self._faded += count
        if self._faded >= length:
            assert self.next is not None
            self._dry_wet.change_latency(self.next.latency - self.voice.latency)
            self.voice, self.next = self.next, None
        return crossfade(old, new, weight)

    def _through(self, block: Audio) -> Audio:
        self._dry_wet.put(block)
        return self._dry_wet.take_dry(block.shape[1])

    def _count(self, block: Audio, out: Audio, spent: float) -> None:
        self.peaks.add(_magnitude(block), _magnitude(out))
        self.blocks += 1
        due = max(block.shape[1], 1) / self.spec.sample_rate
        self.late += spent > due
        self.load += 0.05 * (spent / due - self.load)


def _magnitude(audio: Audio) -> float:
    return float(np.abs(audio).max()) if audio.size else 0.0
