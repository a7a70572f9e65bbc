"""Exchange audio periods with the worker, in the I/O process: input into one ring, output from the other.

The audio callback never waits. Audio and counts go through shared memory. Everything else goes through a pipe without
blocking. A message is written whole or not at all:

- ``B``: a period is in the ring;
- ``M``, length, frame offset (4 bytes), bytes: a MIDI message. An empty one releases the held notes;
- ``C``, length (2 bytes), JSON: a port connection that was made or undone.

The worker ends the process by closing standard input.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from bridge import limits
from bridge.live.ring import Counters, Ring
from bridge.priority import hurry
from neural_fx.arrays import Audio

MIDI = struct.Struct("<BI")
CONNECTION = struct.Struct("<H")


class Exchange:
    """The I/O process's side of the exchange.

    Args:
        name: name of the client or device in the audio system.
        rate: sample rate in Hz.
        channels: number of channels.
        frames: frames of a period.
        files: `SharedFile` names of the ring to the worker, the ring from it, and the counters.
        output: descriptor from `prepare`.

    Attributes:
        connections: port connections to make again, as (own port, other port).
        playing: whether periods are exchanged. This is so from `start` to `end`.
        ended: set when the audio system or the worker has ended.
    """

    def __init__(self, name: str, rate: float, channels: int, frames: int, files: list[str | int], output: int) -> None:
        hurry()
        self.output = output
        os.write(self.output, json.dumps({"name": name, "rate": rate, "frames": frames}).encode() + b"\n")
        answer = _read_line(sys.stdin.fileno())
        if not answer:  # the worker ended, or does not need audio any more
            os._exit(0)
        self.connections = {(own, other) for own, other in json.loads(answer)["connections"]}
        self.to_worker, self.from_worker = (Ring(file, channels, frames) for file in files[:2])
        self.counters = Counters(files[2])
        _write_without_waiting(self.output, sys.stderr.fileno())
        self.frames, self.rate = frames, rate
        self.back = np.zeros((channels, frames), np.float32)
        self.before = np.zeros((channels, frames), np.float32)
        self.sent = True  # whether the worker got the last period and will answer it
        self.ended = threading.Event()
        self.reason = ""
        self.playing = False
        self._release_due = False
        gc.freeze()
        gc.disable()  # a collection in the audio callback takes longer than a small period

    def midi(self, offset: int, message: bytes) -> None:
        """Send a MIDI message of the next period to the worker, or count it as lost.

        If the worker cannot take the period, a note that begins in it is lost. If another message is lost, the held
        notes are released.

        Args:
            offset: frames into the period.
            message: MIDI bytes. Empty to release the held notes, after a sender was disconnected.
        """
        if not self.playing:
            return
        begins_note = len(message) == 3 and message[0] & 0xF0 == 0x90 and message[2] > 0
        if begins_note and (self._release_due or not self._room()):
            self.counters.add("midi_lost")
        elif not self._send(b"M" + MIDI.pack(min(len(message), 255), offset) + message[:255]):
            self._release_due = True
            self.counters.add("midi_lost")

    def period(self, block: Audio) -> Audio:
        """Exchange a period.

        Args:
            block: input of shape (channels, frames).

        Returns:
            Audio to play, (channels, frames): the worker's output, or the last input if that is late.
        """
        if not self.playing:
            self.back[:] = 0
            return self.back
        self.counters.add("periods")
        # The worker answers every block. Number 0 is a block of silence, and number 1 answers the first period.
        newest = self.to_worker.written
        expected, due = self.sent, newest if self.sent else newest + 1
        self._skip_to(due)
        self.sent = self._room() and self.to_worker.put(block)
        if self._release_due and self._send(b"M" + MIDI.pack(0, 0)):
            self._release_due = False
        if self.sent:
            self._send(b"B")
        self._skip_to(due)
        if not expected or self.from_worker.read != due or not self.from_worker.take(self.back):
            self.counters.add("dropouts")
            self.back[:] = self.before  # the dry signal, with the same latency as the worker's output
        self.before[:] = block
        return self.back

    def _skip_to(self, number: int) -> None:
        """Drop answers to periods before a number."""
        while self.from_worker.read < number and self.from_worker.take(self.back):
            pass

    def _room(self) -> bool:
        """Return whether the worker can take a block. The ring from it must have room for all of its answers."""
        return self.to_worker.written + 1 - self.from_worker.read < limits.LIVE_RING_BLOCKS

    def connected(self, own: str, other: str, made: bool) -> bool:
        """Report a port connection that was made or undone.

        Args:
            own: name of the client's port.
            other: name of the other port.
            made: True if it was made, False if it was undone.

        Returns:
            Whether the report was sent.
        """
        text = json.dumps([own, other, made], ensure_ascii=False).encode()
        return self._send(b"C" + CONNECTION.pack(len(text)) + text)

    def end(self, reason: str = "") -> None:
        """Ask the process to end.

        Args:
            reason: why the audio ended, for the worker's log; empty if the worker hung up.
        """
        self.playing = False
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()

    def start(self) -> None:
        """Report that the audio system runs the client. Exchange periods after the worker's answer."""
        self._send(b"\n")
        if _read_line(sys.stdin.fileno()):
            self.playing = not self.ended.is_set()
        else:
            self.end()

    def serve(self, tend: Callable[[], None] = lambda: None) -> None:
        """Wait until the worker hangs up or dies. If the audio system fails, end the process.

        Args:
            tend: called every `limits.LIVE_TEND_SECONDS`.
        """
        threading.Thread(target=self._wait_for_worker, daemon=True).start()
        while not self.ended.wait(limits.LIVE_TEND_SECONDS):
            tend()
        if self.reason:
            leave(self.reason)
        # Closing a client can hang if the server is stopped.
        timer = threading.Timer(limits.LIVE_LEAVE_SECONDS, os._exit, [0])
        timer.daemon = True
        timer.start()

    def _wait_for_worker(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(sys.stdin.fileno(), 4096):
                pass
        self.end()

    def _send(self, message: bytes) -> bool:
        """Write a message to the worker if the pipe has room. If it is full, the worker wakes up anyway."""
        try:
            return os.write(self.output, message) == len(message)
        except BlockingIOError:
            return False
        except OSError:
            self.end()
            return False


def leave(reason: str) -> NoReturn:
    """End the process at once, with a reason for the worker. The audio system no longer closes anything properly."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"\n{reason}\n".encode())
    os._exit(1)


def prepare() -> tuple[dict[str, Any], int]:
    """Prepare the process for I/O. Call this before an audio library is used.

    Standard output becomes standard error, because a verbose JACK server makes its clients print.

    Returns:
        Settings from the command line, and a descriptor for messages to the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker handles Ctrl-C, and then closes standard input
    wanted = json.loads(sys.argv[1])
    threading.Thread(target=_end_with, args=(wanted["parent"],), daemon=True).start()
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return wanted, output


def _end_with(parent: int) -> None:
    """End the process soon after its worker, even if another child of the worker keeps standard input open."""
    if sys.platform == "win32":  # the parent is the launcher of a virtual environment, not the worker
        return
    while os.getppid() == parent:
        time.sleep(limits.LIVE_TEND_SECONDS)
    time.sleep(limits.LIVE_LEAVE_SECONDS)  # usually standard input has closed too, and the client is closing properly
    os._exit(0)


def _read_line(descriptor: int) -> bytes:
    """Read a line byte by byte. If a daemon thread held a buffered reader, the process would abort at its end."""
    line = b""
    while (byte := os.read(descriptor, 1)) not in (b"", b"\n"):
        line += byte
    return line


def _write_without_waiting(*descriptors: int) -> None:
    if sys.platform != "win32":
        for descriptor in descriptors:
            os.set_blocking(descriptor, False)
