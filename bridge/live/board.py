"""Play a hosted board on live audio (JACK or an audio interface), one period late.

The audio callback runs in a process of its own, so the worker's other threads cannot delay it. A thread of the worker
computes the audio. If the process or the audio system ends, the board connects again as soon as possible.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable

import numpy as np

from bridge import limits
from bridge.errors import BridgeError
from bridge.host import BoardHost
from bridge.host.stream import BoardStream
from bridge.live.exchange import CONNECTION, MIDI
from bridge.live.io_process import IOProcess
from bridge.live.io_process import Kind as Kind
from bridge.live.native import LiveEngine
from bridge.live.ring import remove_leftovers
from bridge.priority import hurry
from neural_fx.errors import reason
from neural_fx.processor import Spec

_COUNTED = ("dropouts", "xruns", "midi_lost")


class LiveBoard:
    """A board with audio ports.

    Args:
        host: the board.
        kind: ``jack`` for a client with audio ports in both directions and a MIDI port, or ``portaudio`` for an audio
            interface.
        channels: channels in each direction.
        device: name of the JACK server, or a part of the interface's name; empty for the default one.
        midi: called with (frames into the block, message) for each message at the MIDI port.
        frames: frames of a period, for ``portaudio``. JACK has its own.
        rate: sample rate in Hz, for ``portaudio``. JACK has its own.
        unplugged: called to release the held notes of the MIDI port, after their sender was disconnected.
        log: called with a sentence when the audio ends and when it is back.

    Attributes:
        connected: whether the board is connected to the audio system.
        connections: connections of the JACK client's ports, as (own port, other port), to make again after a loss.

    Raises:
        BridgeError: the library, the server or the device is missing.
        NeuralFXError: the board does not accept this rate or number of channels.
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
        log: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.host, self.midi = host, midi
        self.unplugged, self.log = unplugged, log
        self.kind, self.channels = kind, channels
        self._wanted: dict[str, object] = {
            "name": f"neural-fx-{host.name}",
            "channels": channels,
            "device": device,
            "frames": frames,
            "rate": rate,
        }
        self.connected = False
        self.connections: set[tuple[str, str]] = set()
        self._problem = "not started"
        self._wait = limits.LIVE_FIRST_WAIT_SECONDS
        self._counted = dict.fromkeys(_COUNTED, 0)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        remove_leftovers()
        self._connect()
        self.thread = threading.Thread(target=self._run, name=f"live-{host.name}", daemon=True)
        self.thread.start()

    @property
    def latency(self) -> int:
        """Frames from input to output: the extra period and the latency of the board."""
        return limits.LIVE_EXTRA_PERIODS * self.frames + self.stream.latency

    @property
    def native(self) -> bool:
        """Whether the native loop plays. It never waits for the interpreter."""
        return self.engine.native

    @property
    def path(self) -> str:
        """``native loop``, or ``in Python`` with the reason."""
        return self.engine.path

    def status(self) -> dict[str, int]:
        """Return counts of errors since the start.

        Returns:
            ``dropouts``: periods whose audio was late. ``xruns``: xruns of the audio system. ``midi_lost``: MIDI
            messages that the worker could not take.

        Raises:
            BridgeError: the audio system or the I/O process is gone. The board tries to connect again.
        """
        if not self.connected:
            raise BridgeError(f"not connected: {self._problem}")
        if not self.io.alive:
            raise BridgeError("not connected: the process for live audio has ended")
        return self._counts()

    def hang_up(self) -> None:
        """Begin to close. `close` waits for the end. With both, several boards can close at the same time."""
        self._closing.set()
        with self._lock:
            self._problem = "closed"
            if self.connected:
                self.io.hang_up()
            else:
                self.io.kill()

    def close(self) -> None:
        """Leave JACK, or stop the interface."""
        self.hang_up()
        self.io.stop()
        self.thread.join(2)
        self.connected = False
        if not self.thread.is_alive():
            self.io.free()
        self.host.close(self.stream)

    # -- the connection ----------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Start an I/O process, open a stream with the rate and period of the audio system, and start the audio.

        Raises:
            BridgeError: the library, the server or the device is missing, or the board was closed in the meantime.
            NeuralFXError: the board does not accept this rate or number of channels.
        """
        with self._lock:
            if self._closing.is_set():
                raise BridgeError("closed")
            self.io = IOProcess(self.kind, self._wanted)
        io = self.io
        io.meet()
        try:
            stream = self.host.open(Spec(io.sample_rate, self.channels, io.frames))
        except BaseException:
            self._put_away(io)
            raise
        self.process, self.client = io.process, io.client
        self.frames, self.sample_rate = io.frames, io.sample_rate
        self.incoming, self.outgoing = io.incoming, io.outgoing
        self.stream = stream
        for _ in range(limits.LIVE_EXTRA_PERIODS):
            self.outgoing.put(np.zeros((self.channels, self.frames), np.float32))
        assert io.process.stdout is not None
        self.engine = LiveEngine(stream, io.incoming, io.outgoing, io.process.stdout.fileno(), self._report)
        try:
            io.begin(self.connections)
            self.engine.start()
        except BaseException:
            self.engine.close()
            self._put_away(io, stream)
            raise
        io.play()
        self._since = time.monotonic()
        with self._lock:
            self.connected = not self._closing.is_set()
        if not self.connected:
            self.engine.close()
            self._put_away(io, stream)
            raise BridgeError("closed")

    def _put_away(self, io: IOProcess, stream: BoardStream | None = None) -> None:
        io.kill()
        io.stop()
        io.free()
        if stream is not None:
            self.host.close(stream)

    def _run(self) -> None:
        """Compute blocks until `close`. If the I/O process ends, start another one."""
        while True:
            try:
                self._engine()
            except Exception as error:  # an error must not end the thread, or the board would stay silent
                self._set_problem(f"{type(error).__name__}: {reason(error)}")
                self.io.kill()
            if self._closing.is_set():
                return
            self._disconnect()
            if not self._connect_again():
                return

    def _disconnect(self) -> None:
        """Release the resources of an ended connection, and the held notes of its MIDI port."""
        self._counted = self._counts()
        with self._lock:
            self.connected = False
        self.io.stop()
        problem = self.io.free()
        self.host.close(self.stream)
        self._attempt(self.unplugged)
        self._set_problem(problem)
        if not self._closing.is_set():
            self.log(f"{self.host.name}: live audio ended: {problem}; trying again until it is back")

    def _connect_again(self) -> bool:
        """Try to connect until it works. Return False if the board is closed."""
        # If the process ended at once, the wait grows.
        if time.monotonic() - self._since > limits.LIVE_LONGEST_WAIT_SECONDS:
            self._wait = limits.LIVE_FIRST_WAIT_SECONDS
        while not self._closing.wait(self._wait):
            self._wait = min(2 * self._wait, limits.LIVE_LONGEST_WAIT_SECONDS)
            try:
                self._connect()
            except Exception as error:  # third-party plugins can raise anything
                self._set_problem(reason(error))
                continue
            self.log(f"{self.host.name}: {self.client} ({self.kind}) is back, {self.latency} frames late, {self.path}")
            return True
        return False

    def _set_problem(self, problem: str) -> None:
        with self._lock:
            if not self._closing.is_set():
                self._problem = f"{problem}; trying again"

    def _counts(self) -> dict[str, int]:
        """Return the counts of this connection and of earlier ones."""
        now = self.io.counters.read()
        return {name: self._counted[name] + now[name] for name in _COUNTED}

    # -- the engine thread -------------------------------------------------------------------------------------------

    def _engine(self) -> None:
        """Compute blocks until the I/O process ends."""
        hurry()
        try:
            self.engine.serve(self._messages)
        finally:
            self.engine.close()

    def _report(self, path: str) -> None:
        """Log whether the native loop or Python plays the board. The engine's thread does not wait for the log."""
        sentence = f"{self.host.name}: live audio: {path}"
        threading.Thread(target=self.log, args=(sentence,), name="live-log", daemon=True).start()

    def _messages(self, data: bytes) -> bytes:
        """Handle messages of the I/O process, and return the rest that is not complete yet."""
        while data:
            kind, rest = data[:1], data[1:]
            if kind == b"M":
                if len(rest) < MIDI.size:
                    break
                size, offset = MIDI.unpack_from(rest)
                if len(rest) < MIDI.size + size:
                    break
                self._hear(offset, rest[MIDI.size : MIDI.size + size])
                data = rest[MIDI.size + size :]
            elif kind == b"C":
                if len(rest) < CONNECTION.size:
                    break
                (size,) = CONNECTION.unpack_from(rest)
                if len(rest) < CONNECTION.size + size:
                    break
                self._remember(rest[CONNECTION.size : CONNECTION.size + size])
                data = rest[CONNECTION.size + size :]
            else:  # a period
                data = rest
        return data

    def _hear(self, offset: int, message: bytes) -> None:
        """Handle a MIDI message. An empty one means that its sender was disconnected."""
        if message:
            self._attempt(lambda: self.midi(offset, message))
        else:
            self._attempt(self.unplugged)

    def _remember(self, text: bytes) -> None:
        own, other, made = json.loads(text)
        if made:
            self.connections.add((own, other))
        else:
            self.connections.discard((own, other))

    def _attempt(self, act: Callable[[], None]) -> None:
        """Call a function and log its errors, so that the audio continues."""
        try:
            act()
        except Exception as error:  # an unexpected message must not end the thread
            with contextlib.suppress(Exception):
                self.log(f"{self.host.name}: MIDI: {type(error).__name__}: {reason(error)}")
