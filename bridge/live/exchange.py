"""What an I/O process does with each period: input into one ring, the worker's output from the other, a wake-up.

The audio callback never waits. Audio and counts go through shared memory. Everything else goes through a pipe that is
written without blocking, where each message is written whole or not at all: ``B`` for a period; ``M``, length, frame
offset (4 bytes) and bytes for a MIDI message, which is empty if the held notes are to be released; ``C``, length
(2 bytes) and JSON for a port connection that was made or undone. The worker ends the process by closing standard input.
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
from numpy.typing import NDArray

from bridge.live.ring import BLOCKS, Counters, Ring
from bridge.priority import hurry

Audio = NDArray[np.float32]

MIDI = struct.Struct("<BI")
CONNECTION = struct.Struct("<H")
TEND_SECONDS = 0.25
"""How often the process looks after its worker and its port connections."""
LEAVE_SECONDS = 1.0
"""How long the audio system may take to close a client, before the process ends anyway."""


class Exchange:
    """The I/O process's side.

    Args:
        name: of the client or device, as the system knows it.
        rate: Hz.
        channels, frames: of a period.
        files: the `SharedFile` names of the ring to the worker, the ring from it, and the counters.
        output: from `prepare`.

    Attributes:
        connections: the port connections that the worker wants remade, as (own port, other port).
        playing: whether periods are exchanged: from `start` to `end`.
        ended: set when there is no more audio, or nobody to play it.
    """

    def __init__(self, name: str, rate: float, channels: int, frames: int, files: list[str | int], output: int) -> None:
        hurry()
        self.output = output
        os.write(self.output, json.dumps({"name": name, "rate": rate, "frames": frames}).encode() + b"\n")
        answer = _read_line(sys.stdin.fileno())
        if not answer:  # the worker ended, or wants no audio any more
            os._exit(0)
        self.connections = {(own, other) for own, other in json.loads(answer)["connections"]}
        self.to_worker, self.from_worker = (Ring(file, channels, frames) for file in files[:2])
        self.counters = Counters(files[2])
        _write_without_waiting(self.output, sys.stderr.fileno())
        self.frames, self.rate = frames, rate
        self.back = np.zeros((channels, frames), np.float32)
        self.before = np.zeros((channels, frames), np.float32)
        self.sent = True  # whether the period before went to the worker, so that an answer to it will come
        self.ended = threading.Event()
        self.reason = ""
        self.playing = False
        self._release_due = False
        gc.freeze()
        gc.disable()  # a collection in the audio callback takes longer than a small period

    def midi(self, offset: int, message: bytes) -> None:
        """Pass on a MIDI message of the period that is about to be exchanged, or count it as lost.

        A note that begins in a period that the worker cannot take is lost with it. When another message is lost, the
        notes that are held then are released.

        Args:
            offset: frames into the period.
            message: empty to release what is held, because a sender was disconnected.
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
        """Give a period's input (channels, frames), get what to play: the worker's, or the last input if late."""
        if not self.playing:
            self.back[:] = 0
            return self.back
        self.counters.add("periods")
        # The worker answers every block. Its first block of silence is number 0, the answer to the first period 1.
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
            self.back[:] = self.before  # dry, as late as the board's would have been by the period
        self.before[:] = block
        return self.back

    def _skip_to(self, number: int) -> None:
        """Throw away answers to periods that have passed."""
        while self.from_worker.read < number and self.from_worker.take(self.back):
            pass

    def _room(self) -> bool:
        """Whether the worker can take a block: the ring back must hold the answers to all that it has, and one more."""
        return self.to_worker.written + 1 - self.from_worker.read < BLOCKS

    def connected(self, own: str, other: str, made: bool) -> bool:
        """Report a port connection that was made or undone, and return whether the worker will hear of it."""
        text = json.dumps([own, other, made], ensure_ascii=False).encode()
        return self._send(b"C" + CONNECTION.pack(len(text)) + text)

    def end(self, reason: str = "") -> None:
        """Ask the process to end.

        Args:
            reason: why there is no more audio, for the worker to log; empty if the worker hung up.
        """
        self.playing = False
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()

    def start(self) -> None:
        """Tell the worker that the audio system runs the client, and exchange periods when it says so."""
        self._send(b"\n")
        if _read_line(sys.stdin.fileno()):
            self.playing = not self.ended.is_set()
        else:
            self.end()

    def serve(self, tend: Callable[[], None] = lambda: None) -> None:
        """Wait until the worker hangs up or dies, and return then. Where the audio system fails, end the process.

        Args:
            tend: called every `TEND_SECONDS`.
        """
        threading.Thread(target=self._wait_for_worker, daemon=True).start()
        while not self.ended.wait(TEND_SECONDS):
            tend()
        if self.reason:
            leave(self.reason)
        timer = threading.Timer(LEAVE_SECONDS, os._exit, [0])  # closing a client waits for a server that may be stopped
        timer.daemon = True
        timer.start()

    def _wait_for_worker(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(sys.stdin.fileno(), 4096):
                pass
        self.end()

    def _send(self, message: bytes) -> bool:
        """Write a message to the worker if the pipe has room for it; a full pipe wakes the worker anyway."""
        try:
            return os.write(self.output, message) == len(message)
        except BlockingIOError:
            return False
        except OSError:
            self.end()
            return False


def leave(reason: str) -> NoReturn:
    """End the process at once with a reason for the worker; the audio system cannot be asked to close anything."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"\n{reason}\n".encode())
    os._exit(1)


def prepare() -> tuple[dict[str, Any], int]:
    """Make ready to be an I/O process, before an audio library is used, and return the settings and the output.

    Returns:
        The settings of the command line. A descriptor for messages to the worker: standard output becomes standard
        error, because a verbose JACK server makes its clients print.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which closes standard input
    wanted = json.loads(sys.argv[1])
    threading.Thread(target=_end_with, args=(wanted["parent"],), daemon=True).start()
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return wanted, output


def _end_with(parent: int) -> None:
    """End the process soon after its worker, even where another child of the worker holds standard input open."""
    if sys.platform == "win32":  # a virtual environment's Python runs between the two
        return
    while os.getppid() == parent:
        time.sleep(TEND_SECONDS)
    time.sleep(LEAVE_SECONDS)  # usually standard input is closed too, and the client is being closed properly
    os._exit(0)


def _read_line(descriptor: int) -> bytes:
    """Read a line byte by byte: a buffered reader that a daemon thread holds would abort the end of the process."""
    line = b""
    while (byte := os.read(descriptor, 1)) not in (b"", b"\n"):
        line += byte
    return line


def _write_without_waiting(*descriptors: int) -> None:
    if sys.platform != "win32":
        for descriptor in descriptors:
            os.set_blocking(descriptor, False)
