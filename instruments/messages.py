"""Read the MIDI messages that an instrument is called with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from operator import itemgetter
from typing import TypeAlias

import mido

from neural_fx.errors import NeuralFXError, reason

MidiEvent: TypeAlias = "mido.Message | tuple[bytes, float]"
"""A mido message whose `time` is in seconds from the start of the call, or its bytes and that time."""


def parse_messages(messages: Iterable[MidiEvent]) -> list[tuple[float, mido.Message]]:
    """Sort messages by time. Messages of one time stay in the given order, and meta messages are left out.

    Args:
        messages: mido messages, or pairs of bytes and seconds.

    Returns:
        Pairs of seconds, at least 0, and message.

    Raises:
        TypeError: one of them is not a message.
        NeuralFXError: the bytes are not a MIDI message, or the time is not a finite number.
    """
    events = []
    for item in messages:
        message = _parse_message(item)
        if not math.isfinite(message.time):
            raise NeuralFXError(f"{message}: expected a time in seconds")
        if not message.is_meta:
            events.append((float(message.time), message))
    # Times before 0 become 0 only after the sorting, so those messages keep their order.
    events.sort(key=itemgetter(0))
    return [(max(0.0, seconds), message) for seconds, message in events]


def _parse_message(item: MidiEvent) -> mido.Message:
    if isinstance(item, (mido.Message, mido.MetaMessage)):
        return item
    if not (isinstance(item, tuple) and len(item) == 2):
        raise TypeError(f"expected mido messages or (bytes, seconds), got {type(item).__name__}")
    data, seconds = item
    try:
        return mido.Message.from_bytes(list(data), time=float(seconds))
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise NeuralFXError(f"{item!r}: not a MIDI message with a time in seconds: {reason(error)}") from None
