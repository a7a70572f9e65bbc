"""Keep values and MIDI messages until the next block takes them to the worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bridge import limits
from bridge.errors import BridgeError
from bridge.protocol import Event, pack_event


class Events:
    """The events that wait for the next block, in their order. Any thread may add some."""

    def __init__(self) -> None:
        self._waiting: dict[object, Event] = {}
        self._numbers = 0

    def __iter__(self) -> Iterator[Event]:
        return iter(list(self._waiting.values()))

    def set(self, address: str, value: float) -> None:
        """Keep a value of a parameter. It replaces an earlier one.

        Args:
            address: address of the parameter.
            value: in the parameter's own unit.
        """
        self._waiting.pop(address, None)
        self._waiting[address] = Event(0, address, value)

    def add(self, event: Event, parameters: int) -> None:
        """Keep a MIDI message.

        Args:
            event: the message.
            parameters: number of parameters, whose values may wait in addition.

        Raises:
            BridgeError: the message is too long, the offset is negative, or too many messages wait for audio.
        """
        pack_event(event)
        if len(self._waiting) >= limits.CLIENT_MIDI_QUEUE + parameters:
            raise BridgeError(f"{limits.CLIENT_MIDI_QUEUE} MIDI messages wait for audio; process some first")
        self._numbers += 1
        self._waiting[self._numbers] = event

    def take(self) -> dict[object, Event]:
        """Take the events that fit into the next block. Another thread may set parameters at the same time."""
        found: dict[object, Event] = {}
        room = limits.CLIENT_EVENT_BYTES - 8  # without the counts before the events
        for key in list(self._waiting)[: limits.PROTOCOL_EVENTS]:
            room -= len(pack_event(self._waiting[key]))
            if room < 0 and found:
                break
            found[key] = self._waiting.pop(key)
        return found

    def put_back(self, events: Mapping[object, Event]) -> None:
        """Keep events of `take` again, before the others. Values that were set in the meantime replace theirs."""
        self._waiting = {**events, **self._waiting}
