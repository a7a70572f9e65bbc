"""Parameter changes and MIDI messages that wait for their place in a stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import mido

from bridge.protocol import Event
from neural_fx.errors import ParameterError, reason


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


def change_of(event: Event, notes: bool) -> Change:
    """Return the change that a client's event asks for.

    Args:
        event: of a BLOCK.
        notes: whether the board has an instrument.

    Raises:
        ParameterError: MIDI for a board without an instrument, or bytes that are not a MIDI message.
    """
    if event.address:
        return Change(event.address, event.value, event.offset)
    if not notes:
        raise ParameterError("MIDI for a board without an instrument")
    try:
        return Change("", mido.Message.from_bytes(event.midi), event.offset)
    except ValueError as error:
        raise ParameterError(f"not a MIDI message: {reason(error)}") from None
