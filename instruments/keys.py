"""Follow the keys and pedals of a channel through a song: overlapping notes, and what is still held at the end."""

from __future__ import annotations

import mido

from instruments.channels import ALL_NOTES_OFF, ALL_SOUND_OFF, RESET_CONTROLLERS, SOSTENUTO, SUSTAIN


def starts(message: mido.Message) -> bool:
    """Return whether a message begins a note: a note-on of velocity 0 is a note-off."""
    return bool(message.type == "note_on" and message.velocity)


def stops(message: mido.Message) -> bool:
    """Return whether a message is a note-off."""
    return bool(message.type == "note_off" or (message.type == "note_on" and not message.velocity))


def overlaps_resolved(messages: list[mido.Message]) -> list[mido.Message]:
    """Return messages in which overlapping notes of one key last until the last of them ends.

    The standard wants a note-off for every note-on. So a note-off is left out while later notes of its key are down.
    Where note-offs are missing, all of them stay: then each ends every note of its key, and nothing hangs.

    Args:
        messages: of one channel, in the order of their times.
    """
    down = [0] * 128
    inner: list[list[int]] = [[] for _ in range(128)]  # offs that left notes of their key down
    left_out: set[int] = set()
    for i, message in enumerate(messages):
        if starts(message):
            down[message.note] += 1
        elif stops(message) and down[message.note]:
            key = message.note
            down[key] -= 1
            if down[key]:
                inner[key].append(i)
            else:  # every note of the group had its note-off
                left_out.update(inner[key])
                inner[key].clear()
        elif message.type == "control_change" and message.control in (ALL_SOUND_OFF, *range(ALL_NOTES_OFF, 128)):
            down = [0] * 128
            inner = [[] for _ in range(128)]
    return [message for i, message in enumerate(messages) if i not in left_out]


class KeyFollower:
    """Follows which notes of a channel are held, by keys or pedals.

    Attributes:
        last: the time at which a note last began or ended.
    """

    def __init__(self) -> None:
        self.last = 0.0
        self._keys: dict[int, tuple[float, bool]] = {}  # when it began; whether the note before has its off to come
        self._ringing: set[int] = set()  # released, but held by a pedal
        self._pedals: set[int] = set()

    @property
    def held(self) -> bool:
        """Whether anything is held."""
        return bool(self._keys or self._ringing)

    def follow(self, message: mido.Message) -> None:
        """Take the next message."""
        if starts(message):
            began, due = self._keys.get(message.note, (message.time, False))
            self._keys[message.note] = (message.time, due or began < message.time)
            self.last = message.time
        elif stops(message):
            self._lift(message.note, message.time)
        elif message.type == "control_change":
            before = len(self._keys) + len(self._ringing)
            self._control(message.control, message.value)
            if len(self._keys) + len(self._ringing) < before:
                self.last = message.time

    def _lift(self, note: int, time: float) -> None:
        began, due = self._keys.get(note, (-1.0, False))
        if due and began == time:  # the off of the note before: see `Players`
            self._keys[note] = (began, False)
        elif note in self._keys:
            del self._keys[note]
            self.last = time
            if self._pedals:
                self._ringing.add(note)

    def _control(self, number: int, value: int) -> None:
        if number in (SUSTAIN, SOSTENUTO):
            (self._pedals.add if value >= 64 else self._pedals.discard)(number)
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
    """Return the messages that end every note of a channel, whatever holds it."""
    controls = ((SUSTAIN, 0), (SOSTENUTO, 0), (ALL_NOTES_OFF, 0))
    return [
        mido.Message("control_change", channel=channel, control=number, value=value, time=seconds)
        for number, value in controls
    ]
