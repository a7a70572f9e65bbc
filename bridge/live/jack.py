"""A hosted board as a JACK client: audio ports both ways and a MIDI port, one period behind, whatever Python does."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np

from bridge.errors import BridgeError
from bridge.hosting import BoardHost
from bridge.live.ring import Ring
from neural_fx.processor import Spec

EXTRA_PERIODS = 1
"""Periods between a block's arrival and its return: the time there is to compute it."""


class JackBoard:
    """A board that JACK can route to.

    Args:
        host: the board.
        channels: audio ports each way.
        server: name of the JACK server; empty: the default one.
        midi: told (frame offset in the block, message bytes) of the MIDI port.

    Raises:
        BridgeError: JACK-Client or a JACK server is missing.
    """

    def __init__(
        self,
        host: BoardHost,
        channels: int = 2,
        server: str = "",
        midi: Callable[[int, bytes], None] = lambda at, m: None,
    ) -> None:
        self.host, self.midi = host, midi
        wanted = {"name": f"neural-fx-{host.name}", "channels": channels, "server": server}
        wake = os.eventfd(0, os.EFD_NONBLOCK)
        midi_read, midi_write = os.pipe()
        os.set_blocking(midi_read, False)
        os.set_blocking(midi_write, False)
        # The rings' size is known once JACK has told its period: descriptors are made now, so that they are inherited.
        rings = [os.memfd_create("neural-fx-ring", 0) for _ in range(2)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bridge.live.jack_process", json.dumps(wanted)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=(*rings, wake, midi_write),
        )
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        answer = self.process.stdout.readline()
        if not answer:
            assert self.process.stderr is not None
            why = self.process.stderr.read().strip().splitlines()
            for descriptor in (*rings, wake, midi_read, midi_write):
                os.close(descriptor)
            raise BridgeError(
                f"no JACK client: {why[-1] if why else 'the I/O process ended'}; is a JACK server running?"
            )
        told = json.loads(answer)
        self.frames, self.sample_rate, self.client = told["frames"], float(told["rate"]), told["name"]
        for descriptor in rings:
            Ring.allocate(descriptor, channels, self.frames)
        self.incoming = Ring(channels, self.frames, descriptor=rings[0])
        self.outgoing = Ring(channels, self.frames, descriptor=rings[1])
        for _ in range(EXTRA_PERIODS):
            self.outgoing.put(np.zeros((channels, self.frames), np.float32))
        self.stream = host.open(Spec(self.sample_rate, channels, self.frames))
        self._wake, self._midi, self._ending = wake, midi_read, threading.Event()
        self._block = np.zeros((channels, self.frames), np.float32)
        self.thread = threading.Thread(target=self._engine, name=f"jack-{host.name}", daemon=True)
        self.thread.start()
        descriptors = {"in": rings[0], "out": rings[1], "midi": midi_write, "wake": wake}
        self.process.stdin.write(json.dumps(descriptors) + "\n")
        self.process.stdin.flush()
        os.close(midi_write)

    @property
    def latency(self) -> int:
        """Frames from an input port to an output port: the extra period and the board's own."""
        return int(EXTRA_PERIODS * self.frames + self.stream.latency)

    def status(self) -> dict[str, int]:
        """Periods in which nothing had come back in time (`dropouts`), and JACK's own `xruns`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write("status\n")
            self.process.stdin.flush()
            found: dict[str, int] = json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            raise BridgeError("the JACK I/O process is gone") from None
        return found

    def close(self) -> None:
        """Leave JACK."""
        self._ending.set()
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        self.thread.join(2)
        self.host.close(self.stream)
        os.close(self._wake)
        os.close(self._midi)

    def _engine(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        while not self._ending.is_set():
            if not poll.poll(100):
                continue
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            self._messages()
            while self.incoming.take(self._block):
                self.outgoing.put(self.stream.process(self._block))

    def _messages(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._midi, 4096)
            while data:
                size, offset = data[0], int.from_bytes(data[1:5], "little")
                self.midi(offset, data[5 : 5 + size])
                data = data[5 + size :]
