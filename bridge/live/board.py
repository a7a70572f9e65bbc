"""A hosted board on live audio, JACK or an interface: one period behind, whatever Python's other threads do.

The audio callback lives in a process of its own that does nothing but I/O; an engine thread here computes.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from bridge.errors import BridgeError
from bridge.host import BoardHost
from bridge.live.exchange import MIDI, STATUS
from bridge.live.native import LiveEngine
from bridge.live.ring import Ring, ring_file
from bridge.priority import hurry
from neural_fx.processor import Spec

EXTRA_PERIODS = 1
"""Periods between a block's arrival and its return: the time there is to compute it."""

Kind = Literal["jack", "portaudio"]
_MISSING = {
    "jack": "is a JACK server running, and JACK-Client installed (pip install 'neural-fx[live]')?",
    "portaudio": "is the device there, and sounddevice installed (pip install 'neural-fx[live]')?",
}


class LiveBoard:
    """A board with audio ports.

    Args:
        host: the board.
        kind: ``jack``: a client with audio ports each way and a MIDI port. ``portaudio``: an audio interface.
        channels: each way.
        device: the JACK server's name, or part of the interface's; empty: the default one.
        midi: told (frame offset in the block, message) of the MIDI port.
        unplugged: called when a sender is disconnected from the MIDI port.
        frames, rate: of a period and in Hz, for ``portaudio``; JACK has its own.

    Raises:
        BridgeError: the library, the server or the device is missing.
    """

    def __init__(
        self,
        host: BoardHost,
        kind: Kind = "jack",
        channels: int = 2,
        device: str = "",
        midi: Callable[[int, bytes], None] = lambda offset, message: None,
        frames: int = 256,
        rate: int = 48000,
        unplugged: Callable[[], None] = lambda: None,
    ) -> None:
        self.host, self.midi = host, midi
        self.unplugged = unplugged
        wanted = {
            "name": f"neural-fx-{host.name}",
            "channels": channels,
            "device": device,
            "frames": frames,
            "rate": rate,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"bridge.live.{kind}_process", json.dumps(wanted)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            raise BridgeError(f"no live audio: {self._last_words()}; {_MISSING[kind]}")
        told = json.loads(answer)
        self.frames, self.sample_rate, self.client = int(told["frames"]), float(told["rate"]), str(told["name"])
        self._files = [ring_file(channels, self.frames) for _ in range(2)]
        self.incoming, self.outgoing = (Ring(path, channels, self.frames) for path in self._files)
        for _ in range(EXTRA_PERIODS):
            self.outgoing.put(np.zeros((channels, self.frames), np.float32))
        self.stream = host.open(Spec(self.sample_rate, channels, self.frames))
        self._statuses: queue.Queue[tuple[int, int]] = queue.Queue()
        rings = dict(zip(("in", "out"), map(str, self._files), strict=True))
        self.process.stdin.write(json.dumps(rings).encode() + b"\n")
        self.engine = LiveEngine(self.stream, self.incoming, self.outgoing, self.process.stdout.fileno())
        self.thread = threading.Thread(target=self._engine, name=f"live-{host.name}", daemon=True)
        self.thread.start()

    @property
    def latency(self) -> int:
        """Frames from input to output: the extra period and the board's own."""
        return EXTRA_PERIODS * self.frames + self.stream.latency

    @property
    def native(self) -> bool:
        """Whether the native loop plays, which never waits for the interpreter."""
        return self.engine.native

    @property
    def path(self) -> str:
        """What plays: ``native loop``, or ``in Python`` and why."""
        return "native loop" if self.native else f"in Python: {self.engine.reason}"

    def status(self) -> dict[str, int]:
        """Periods whose audio had not come back in time (`dropouts`), and the system's own `xruns`.

        Raises:
            BridgeError: the I/O process is gone.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(b"status\n")
            dropouts, xruns = self._statuses.get(timeout=2)
        except (OSError, queue.Empty):
            raise BridgeError("the process for live audio is gone") from None
        return {"dropouts": dropouts, "xruns": xruns}

    def close(self) -> None:
        """Leave JACK, or stop the interface."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.thread.join(2)
        self.engine.close()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        self.host.close(self.stream)
        for path in self._files:
            with contextlib.suppress(OSError):
                Path(path).unlink()

    def _last_words(self) -> str:
        assert self.process.stderr is not None
        words = self.process.stderr.read().decode(errors="replace").strip().splitlines()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return words[-1] if words else "the process for it ended"

    def _engine(self) -> None:
        hurry()
        self.engine.serve(self._messages)

    def _messages(self, data: bytes) -> bytes:
        """Take MIDI and statuses out of what the I/O process says; what is not complete yet comes back."""
        while data:
            kind, rest = data[:1], data[1:]
            if kind == b"B":
                data = rest
            elif kind == b"M" and len(rest) >= MIDI.size:
                size, offset = MIDI.unpack_from(rest)
                if len(rest) < MIDI.size + size:
                    break
                if size:
                    self.midi(offset, rest[MIDI.size : MIDI.size + size])
                else:
                    self.unplugged()
                data = rest[MIDI.size + size :]
            elif kind == b"S" and len(rest) >= STATUS.size:
                self._statuses.put(STATUS.unpack_from(rest))
                data = rest[STATUS.size :]
            else:
                break
        return data
