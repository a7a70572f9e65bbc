"""Keep parameter changes and MIDI messages of a stream until they are due."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import mido

from bridge import limits
from bridge.protocol import Event
from neural_fx.errors import ParameterError, reason


@dataclass(frozen=True)
class Change:
    """A new value of a parameter, or a MIDI message.

    Attributes:
        address: address of the parameter; empty for a MIDI message.
        value: value of the parameter in its own unit, or the message.
        offset: frames into the next block.
        when: Unix time in seconds at which it takes effect; 0 for the next block.
    """

    address: str
    value: object
    offset: int = 0
    when: float = 0.0

    @property
    def is_note(self) -> bool:
        """Whether it is a MIDI message."""
        return isinstance(self.value, mido.Message)


class Schedule:
    """The changes of one stream that are not due yet.

    Any thread may call `add`, one at a time. Only the thread that plays the stream may call `due`. Neither waits for
    the other.

    Args:
        sample_rate: sample rate of the stream in Hz.
        clock: returns the Unix time in seconds.
    """

    def __init__(self, sample_rate: float, clock: Callable[[], float] = time.time) -> None:
        self.sample_rate = sample_rate
        self.clock = clock
        self.now = 0.0
        self.dropped = 0
        self._inbox: deque[Change] = deque()
        self._timed: list[tuple[float, int, Change]] = []  # a heap; the number keeps the order of equal times
        self._numbers = itertools.count()
        self._notes_lost = False
        self._merge_at = limits.CHANGES_WAITING

    def __len__(self) -> int:
        """Return how many changes wait."""
        return len(self._inbox) + len(self._timed)

    def add(self, change: Change) -> None:
        """Keep a change until its block.

        Of several values of one parameter, only the last is needed, so it is never dropped. MIDI messages and changes
        for later times are dropped if too many wait. `dropped` counts them.
        """
        if len(self._inbox) >= self._merge_at:
            self._merge_inbox()
            # Changes that cannot be merged are not checked again until a quarter more has come.
            self._merge_at = max(limits.CHANGES_WAITING, len(self._inbox) + limits.CHANGES_WAITING // 4)
        if len(self._inbox) >= limits.CHANGES_WAITING and (change.is_note or change.when):
            self._drop(change)
        else:
            self._inbox.append(change)

    def due(self, frames: int) -> list[Change]:
        """Return the changes for the next block, in their order, each with its offset into the block.

        Args:
            frames: length of the block.
        """
        now = self.clock()
        if abs(now - self.now) > limits.CLOCK_SLACK_SECONDS:  # the first block, or the stream paused
            self.now = now
        end = self.now + frames / self.sample_rate
        found: list[Change] = []
        self._sort_inbox(found)
        while self._timed and self._timed[0][0] < end and len(found) < limits.CHANGES_PER_BLOCK:
            found.append(self._placed(heapq.heappop(self._timed)[2]))
        self.now = end
        if self._notes_lost:
            self._notes_lost = False
            found += [Change("", message) for message in all_notes_off()]
        return found

    def take_all(self) -> list[Change]:
        """Remove all changes that wait and return them, in their order, to be made elsewhere."""
        found = []
        with contextlib.suppress(IndexError):
            while True:
                found.append(self._inbox.popleft())
        timed, self._timed = [change for _, _, change in sorted(self._timed, key=lambda item: item[:2])], []
        return timed + found

    def put_back(self, changes: Iterable[Change]) -> None:
        """Keep changes of `take_all` again, before those that came meanwhile."""
        self._inbox.extendleft(reversed(list(changes)))

    def _sort_inbox(self, found: list[Change]) -> None:
        for _ in range(min(len(self._inbox), limits.CHANGES_PER_BLOCK)):
            try:
                change = self._inbox.popleft()
            except IndexError:  # `add` is merging
                return
            if change.when <= self.now:
                found.append(change)
            elif len(self._timed) < limits.CHANGES_WAITING:
                heapq.heappush(self._timed, (change.when, next(self._numbers), change))
            else:
                self._drop(change)

    def _placed(self, change: Change) -> Change:
        frames = max(0, round((change.when - self.now) * self.sample_rate))
        return replace(change, offset=max(change.offset, frames))

    def _merge_inbox(self) -> None:
        waiting = []
        while True:
            try:
                waiting.append(self._inbox.popleft())
            except IndexError:
                break
        self._inbox.extend(last_ones(waiting))

    def _drop(self, change: Change) -> None:
        self.dropped += 1
        if change.is_note:  # the message may have been the end of a note
            self._notes_lost = True


def all_notes_off() -> list[mido.Message]:
    """Return the messages that release all pedals, end all notes and reset the controllers on all channels."""
    return [
        mido.Message("control_change", channel=channel, control=control, value=0)
        for channel in range(16)
        for control in (64, 123, 121)
    ]


def last_ones(changes: Iterable[Change]) -> list[Change]:
    """Keep the last of several changes of a parameter at the same frame and time, and all MIDI messages.

    A fader can send many values in one block.
    """
    found: dict[object, Change] = {}
    for change in changes:
        key = (change.when, change.offset, change.address) if change.address else id(change)
        found.pop(key, None)
        found[key] = change
    return list(found.values())


def change_of(event: Event, notes: bool) -> Change:
    """Convert an event of a client to a change.

    Args:
        event: event of a BLOCK.
        notes: whether the board has an instrument.

    Raises:
        ParameterError: the event is MIDI and the board has no instrument, or the bytes are not a MIDI message.
    """
    if event.address:
        return Change(event.address, event.value, event.offset)
    if not notes:
        raise ParameterError("MIDI for a board without an instrument")
    try:
        return Change("", mido.Message.from_bytes(event.midi), event.offset)
    except ValueError as error:
        raise ParameterError(f"not a MIDI message: {reason(error)}") from None
