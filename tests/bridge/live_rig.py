"""A live engine without a sound card: rings and a pipe, driven by a test or by a process of its own.

    python -m tests.bridge.live_rig IN OUT CHANNELS FRAMES COUNT SIGNAL BACK

plays COUNT blocks, each after the answer to the one before, with a time limit for each. It writes ``B`` to the
descriptor SIGNAL for each block, as an I/O process does. At the end it writes one byte to the descriptor BACK: ``1`` if
all came back.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from bridge.host import BoardHost
from bridge.live.native import LiveEngine
from bridge.live.ring import Ring, ring_size
from neural_fx.arrays import Audio
from neural_fx.processor import Spec

PATIENCE = 60.0
"""Seconds that an answer may take on a slow machine: it only ends a test that would hang."""


def ring_file(channels: int, frames: int) -> Path:
    """Return a new file for a ring, named like those of killed processes. The caller removes it."""
    with tempfile.NamedTemporaryFile(prefix="neural-fx-ring-", delete=False) as file:
        file.truncate(ring_size(channels, frames))
        return Path(file.name)


def answer(ring: Ring, block: Audio) -> bool:
    """Wait for a block; False if it does not come."""
    end = time.monotonic() + PATIENCE
    while not ring.take(block):
        if time.monotonic() > end:
            return False
        time.sleep(0.0002)
    return True


class Rig:
    """A stream of a board in an engine, with the worker's side of the rings and the I/O process's.

    Args:
        host: the board.
        channels, frames, rate: of the stream.
    """

    def __init__(self, host: BoardHost, channels: int = 1, frames: int = 64, rate: float = 48000) -> None:
        self.host, self.spec = host, Spec(rate, channels, frames)
        self.stream = host.open(self.spec)
        self.files = [ring_file(channels, frames) for _ in range(2)]
        self.to_worker, self.from_worker = (Ring(file, channels, frames) for file in self.files)
        self.heard = b""
        self.source, self.signal = os.pipe()
        incoming, outgoing = (Ring(file, channels, frames) for file in self.files)
        self.engine = LiveEngine(self.stream, incoming, outgoing, self.source)
        self.engine.start()
        self.hear = self._hear
        self.thread = threading.Thread(target=lambda: self.engine.serve(lambda data: self.hear(data)), daemon=True)
        self.thread.start()
        self._back = np.zeros((channels, frames), np.float32)

    def _hear(self, data: bytes) -> bytes:
        self.heard += data
        return b""

    def play(self, audio: Audio) -> Audio:
        """Play (channels, samples), a whole number of blocks, one after the other."""
        blocks = np.split(audio, audio.shape[1] // self.spec.buffer_size, axis=1)
        return np.concatenate([self.play_block(block) for block in blocks], 1)

    def play_block(self, block: Audio) -> Audio:
        """Play one block."""
        assert self.to_worker.put(block)
        os.write(self.signal, b"B")
        assert answer(self.from_worker, self._back), "no answer"
        return self._back.copy()

    def end(self) -> bool:
        """End the source, as an I/O process that is gone; whether the engine ends by itself."""
        if self.signal >= 0:
            os.close(self.signal)
            self.signal = -1
        self.thread.join(PATIENCE)
        return not self.thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()
        self.engine.close()
        os.close(self.source)
        for file in self.files:
            file.unlink()


def main() -> None:
    """Play as the module's docstring says."""
    files, (channels, frames, count, signal, back) = sys.argv[1:3], map(int, sys.argv[3:])
    to_worker, from_worker = (Ring(file, channels, frames) for file in files)
    block = np.full((channels, frames), 0.1, np.float32)
    heard = np.zeros_like(block)
    for _ in range(count):
        if not to_worker.put(block):
            break
        os.write(signal, b"B")
        if not answer(from_worker, heard):
            break
    else:
        os.write(back, b"1")
        return
    os.write(back, b"0")


if __name__ == "__main__":
    main()
