"""What an I/O process does with each period: audio into one ring, the worker's out of the other, a word to the worker.

The word goes through standard output, in binary: ``B`` for a period; ``M``, length, frame offset (4 bytes) and bytes
for a MIDI message, which is empty if a sender was disconnected from the port; ``S`` and two 8-byte numbers for the
status. Standard input tells the ring files, asks for the status, and by closing ends the process.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading

import numpy as np
from numpy.typing import NDArray

from bridge.live.ring import Ring
from bridge.priority import hurry

Audio = NDArray[np.float32]

MIDI = struct.Struct("<BI")
STATUS = struct.Struct("<QQ")


class Exchange:
    """The I/O process's side.

    Args:
        name: of the client or device, as the system knows it.
        rate: Hz.
        channels, frames: of a period.
    """

    def __init__(self, name: str, rate: float, channels: int, frames: int) -> None:
        hurry()
        self.output = sys.stdout.fileno()
        os.write(self.output, json.dumps({"name": name, "rate": rate, "frames": frames}).encode() + b"\n")
        rings = json.loads(sys.stdin.readline())
        self.to_worker, self.from_worker = Ring(rings["in"], channels, frames), Ring(rings["out"], channels, frames)
        self.back = np.zeros((channels, frames), np.float32)
        self.before = np.zeros((channels, frames), np.float32)
        self.dropouts = self.xruns = 0
        self.owed = 0  # late blocks that are still to come and must not be played
        self.sent = True  # whether the period before went to the worker, so that an answer to it will come
        self.ended = threading.Event()

    def midi(self, offset: int, message: bytes) -> None:
        """Send on a MIDI message of the period that is about to be exchanged; none: a sender was disconnected."""
        os.write(self.output, b"M" + MIDI.pack(min(len(message), 255), offset) + message[:255])

    def period(self, block: Audio) -> Audio:
        """Give a period's input (channels, frames), get what to play: the worker's, or the last input if late."""
        expected, self.sent = self.sent, self.to_worker.put(block)  # not sent: the worker is a whole ring behind
        os.write(self.output, b"B")
        while self.owed and self.from_worker.take(self.back):
            self.owed -= 1
        if self.owed or not expected or not self.from_worker.take(self.back):
            self.dropouts += 1
            self.owed += expected
            self.back[:] = self.before  # dry, as late as the board's would have been by the period
        self.before[:] = block
        return self.back

    def serve(self) -> None:
        """Answer the worker until it closes standard input."""
        for line in sys.stdin:
            if self.ended.is_set():
                return
            if line.strip() == "status":
                os.write(self.output, b"S" + STATUS.pack(self.dropouts, self.xruns))
