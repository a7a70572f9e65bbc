"""Follow the keys and pedals of a channel through a song.

This resolves overlapping notes of one key, and finds the notes that are held at the end.
"""

from __future__ import annotations

import mido

from instruments.channels import ALL_NOTES_OFF, ALL_SOUND_OFF, RESET_CONTROLLERS, SOSTENUTO, SUSTAIN

MAX_OVERLAP = 0.1
"""The most seconds by which a note may overlap the next one of its key, if more notes follow."""


def starts(message: mido.Message) -> bool:
    """Return whether a message begins a note. A note-on of velocity 0 is a note-off."""
    return bool(message.type == "note_on" and message.velocity)


def stops(message: mido.Message) -> bool:
    """Return whether a message is a note-off."""
    return bool(message.type == "note_off" or (message.type == "note_on" and not message.velocity))


def overlaps_resolved(messages: list[mido.Message]) -> list[mido.Message]:
    """Remove note-offs, so that overlapping notes of one key last until the last of them ends.

    By the standard every note-on has its own note-off. So a note-off is removed while a later note of its key goes on.
    But some files lack note-offs. So a later note only counts if its own note-off comes next, or if it has just begun.
    Otherwise a note-off ends all notes of its key, and no note hangs.

    Args:
        messages: of one channel, in the order of their times.

    Returns:
        The messages that are left.
    """
    down = [0] * 128
    began = [0.0] * 128
    kept = []
    for message, after in zip(messages, _next_of_key(messages)):
        if starts(message):
            down[message.note] += 1
            began[message.note] = message.time
        elif stops(message):
            key = message.note
            if down[key] > 1 and after is not None and _goes_on(began[key], message, after):
                down[key] -= 1
                continue
            down[key] = 0
        elif _ends_all(message):
            down = [0] * 128
        kept.append(message)
    return kept


def _goes_on(began: float, off: mido.Message, after: mido.Message) -> bool:
    """Return whether a note goes on after a note-off of its key.

    Args:
        began: time at which the note began, in seconds.
        off: the note-off.
        after: the next message that begins or ends a note of this key.
    """
    # A short overlap is legato playing if the later note then lasts several times as long.
    overlap = off.time - began
    return stops(after) or (overlap <= MAX_OVERLAP and 4 * overlap <= after.time - began)


def _next_of_key(messages: list[mido.Message]) -> list[mido.Message | None]:
    """Return, for each note-on and note-off, the next one of its key before all notes are ended."""
    latest: dict[int, mido.Message] = {}
    found: list[mido.Message | None] = []
    for message in reversed(messages):
        if starts(message) or stops(message):
            found.append(latest.get(message.note))
            latest[message.note] = message
        else:
            found.append(None)
            if _ends_all(message):
                latest.clear()
    return found[::-1]


def _ends_all(message: mido.Message) -> bool:
    return message.type == "control_change" and message.control in (ALL_SOUND_OFF, *range(ALL_NOTES_OFF, 128))


class KeyFollower:
    """Follows which notes of a channel are held by keys or pedals.

    Attributes:
        last: time in seconds at which a note last began or ended.
    """

    def __init__(self) -> None:
        self.last = 0.0
        self._keys: dict[int, tuple[float, bool]] = {}  # seconds at which it began; whether an old note-off is due
        self._ringing: set[int] = set()  # keys that are up, whose notes a pedal holds
        self._pedals: set[int] = set()  # controllers of the pedals that are down

    @property
    def held(self) -> bool:
        """Whether a key or a pedal holds any note."""
        return bool(self._keys or self._ringing)

    @property
    def notes(self) -> set[int]:
        """The notes that keys or pedals hold."""
        return {*self._keys, *self._ringing}

    def follow(self, message: mido.Message) -> None:
        """Follow the next message."""
        if starts(message):
            began, old_off_due = self._keys.get(message.note, (message.time, False))
            self._keys[message.note] = (message.time, old_off_due or began < message.time)
            self.last = message.time
        elif stops(message):
            self._note_off(message.note, message.time)
        elif message.type == "control_change":
            held_before = len(self._keys) + len(self._ringing)
            self._control_change(message.control, message.value)
            if len(self._keys) + len(self._ringing) < held_before:
                self.last = message.time

    def _note_off(self, note: int, time: float) -> None:
        began, old_off_due = self._keys.get(note, (-1.0, False))
        if old_off_due and began == time:  # the note-off of the note before, as in `VoiceAllocator`
            self._keys[note] = (began, False)
        elif note in self._keys:
            del self._keys[note]
            self.last = time
            if self._pedals:
                self._ringing.add(note)

    def _control_change(self, number: int, value: int) -> None:
        if number in (SUSTAIN, SOSTENUTO):
            if value >= 64:
                self._pedals.add(number)
            else:
                self._pedals.discard(number)
        elif number == RESET_CONTROLLERS:
            self._pedals.clear()
        elif number == ALL_SOUND_OFF:
            self._keys.clear()
            self._ringing.clear()
        elif number >= ALL_NOTES_OFF:
            self._ringing.update(self._keys)
            self._keys.clear()
        if not self._pedals:
            self._ringing.clear()


def releases(channel: int, seconds: float) -> list[mido.Message]:
    """Return the messages that end all notes of a channel, whether keys or pedals hold them.

    Args:
        channel: 0..15.
        seconds: time of the messages.
    """
    controls = ((SUSTAIN, 0), (SOSTENUTO, 0), (ALL_NOTES_OFF, 0))
    return [
        mido.Message("control_change", channel=channel, control=number, value=value, time=seconds)
        for number, value in controls
    ]
