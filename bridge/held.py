"""Release the keys, pedals and pitch bends that a MIDI sender holds when it disconnects."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import mido

from bridge import limits

_PEDALS = (64, 66)
_END_ALL_NOTES = (120, 123)


class Held:
    """Keep track of the keys, pedals and bends that one sender holds, as the messages that release them."""

    def __init__(self) -> None:
        self._releases: dict[tuple[str, int, int], mido.Message] = {}

    def follow(self, message: mido.Message) -> None:
        """Update the state with the sender's next message."""
        kind = message.type
        if kind in ("note_on", "note_off"):
            off = mido.Message("note_off", channel=message.channel, note=message.note)
            self._set(("note", message.channel, message.note), kind == "note_on" and message.velocity > 0, off)
        elif kind == "pitchwheel":
            centre = mido.Message("pitchwheel", channel=message.channel)
            self._set(("bend", message.channel, 0), message.pitch != 0, centre)
        elif kind == "control_change" and message.control in _PEDALS:
            up = mido.Message("control_change", channel=message.channel, control=message.control, value=0)
            self._set(("pedal", message.channel, message.control), message.value >= 64, up)
        elif kind == "control_change" and message.control in _END_ALL_NOTES:
            for key in [key for key in self._releases if key[:2] == ("note", message.channel)]:
                del self._releases[key]

    def release(self) -> list[mido.Message]:
        """Return the messages that release everything, and clear the state."""
        messages = list(self._releases.values())
        self._releases.clear()
        return messages

    def _set(self, key: tuple[str, int, int], held: bool, release: mido.Message) -> None:
        if held:
            self._releases[key] = release
        else:
            self._releases.pop(key, None)


class Sensing:
    """Detect senders of active sensing that fall silent, as they do when they are unplugged.

    Args:
        gone: called with the sender, from a thread of its own, when it has disconnected.
        clock: returns monotonic seconds.
    """

    def __init__(self, gone: Callable[[object], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._gone = gone
        self._clock = clock
        self._heard: dict[object, float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def hear(self, sender: object, message: mido.Message) -> None:
        """Note that a sender sent a message. Senders that never send active sensing are not watched.

        Args:
            sender: key of the sender, such as the name of its port.
            message: its message.
        """
        sensing = message.type == "active_sensing"
        if not sensing and sender not in self._heard:
            return
        with self._lock:
            self._heard[sender] = self._clock()
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="midi-sensing", daemon=True)
                self._thread.start()

    def check(self) -> bool:
        """Report disconnected senders, and return whether any other is still watched."""
        with self._lock:
            limit = self._clock() - limits.MIDI_SILENCE_SECONDS
            silent = [sender for sender, heard in self._heard.items() if heard < limit]
            for sender in silent:
                del self._heard[sender]
            if not self._heard:
                self._thread = None
            watched = bool(self._heard)
        for sender in silent:
            self._gone(sender)
        return watched

    def _watch(self) -> None:
        while self.check():
            time.sleep(limits.MIDI_SILENCE_SECONDS / 4)
