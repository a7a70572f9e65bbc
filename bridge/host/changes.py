"""Parameter changes and MIDI messages that wait for their place in a stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import mido

from bridge.protocol import Event


@dataclass(frozen=True)
class Change:
    """A parameter's new value, `offset` frames into the next block, or at the time `when`."""

    address: str
    value: object
    offset: int = 0
    when: float = 0.0


def last_ones(changes: Iterable[Change]) -> list[Change]:
    """Of several changes of a parameter at one frame the last; all MIDI messages. A fader sends many in a block."""
    found: dict[object, Change] = {}
    for change in changes:
        key = (change.offset, change.address) if change.address else id(change)
        found.pop(key, None)
        found[key] = change
    return list(found.values())


def change_of(event: Event, notes: bool) -> Change | None:
    """What a client's event asks for; None for MIDI that nobody takes, or that is none."""
    if event.address:
        return Change(event.address, event.value, event.offset)
    try:
        return Change("", mido.Message.from_bytes(event.midi), event.offset) if notes else None
    except ValueError:
        return None
