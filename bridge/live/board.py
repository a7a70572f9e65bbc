"""A hosted board on live audio, JACK or an interface: one period behind, whatever Python's other threads do.

The audio callback lives in a process of its own that does nothing but I/O; an engine thread here computes. When that
process or the audio system ends, the board connects again as soon as it can.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable

import numpy as np

from bridge.errors import BridgeError
from bridge.host import BoardHost
from bridge.host.stream import BoardStream
from bridge.live.exchange import CONNECTION, MIDI
from bridge.live.io_process import IOProcess
from bridge.live.io_process import Kind as Kind
from bridge.live.native import LiveEngine
from bridge.live.ring import remove_leftovers
from bridge.priority import hurry
from neural_fx.errors import NeuralFXError, reason
from neural_fx.processor import Spec

EXTRA_PERIODS = 1
"""Periods between a block's arrival and its return: the time there is to compute it."""
FIRST_WAIT, LONGEST_WAIT = 0.25, 4.0
"""Seconds between two attempts to connect again; each wait is twice the one before."""
_COUNTED = ("dropouts", "xruns", "midi_lost")


class LiveBoard:
    """A board with audio ports.

    Args:
        host: the board.
        kind: ``jack``: a client with audio ports each way and a MIDI port. ``portaudio``: an audio interface.
        channels: each way.
        device: the JACK server's name, or part of the interface's; empty: the default one.
        midi: told (frame offset in the block, message) of the MIDI port.
        unplugged: called when the notes that the MIDI port holds are to end, because their sender is disconnected.
        frames, rate: of a period and in Hz, for ``portaudio``; JACK has its own.
        log: told in a sentence when the audio ends and when it is back.

    Attributes:
        connected: whether the audio system has the board.
        connections: of the JACK client's ports, as (own port, other port); remade after a loss.

    Raises:
        BridgeError: the library, the server or the device is missing.
        NeuralFXError: the board does not take this rate or number of channels.
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
        self._counted = dict.fromkeys(_COUNTED, 0)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        remove_leftovers()
        self._connect()
        self.thread = threading.Thread(target=self._run, name=f"live-{host.name}", daemon=True)
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
        """Return what went wrong since the start.

        Returns:
            ``dropouts``: periods whose audio had not come back in time. ``xruns``: those of the audio system.
            ``midi_lost``: messages that came while this process could not take them.

        Raises:
            BridgeError: the audio system or the I/O process is gone; the board tries to connect again.
        """
        if not self.connected:
            raise BridgeError(f"not connected: {self._problem}")
        if not self.io.alive:
            raise BridgeError("not connected: the process for live audio has ended")
        return self._counts()

    def hang_up(self) -> None:
        """Begin to close; `close` waits for the end. For several boards that are to end at the same time."""
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
        """Start an I/O process, open a stream for what it tells of the audio system, and let the audio begin.

        Raises:
            BridgeError: the library, the server or the device is missing, or the board was closed meanwhile.
            NeuralFXError: the board does not take this rate or number of channels.
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
        for _ in range(EXTRA_PERIODS):
            self.outgoing.put(np.zeros((self.channels, self.frames), np.float32))
        assert io.process.stdout is not None
        self.engine = LiveEngine(stream, io.incoming, io.outgoing, io.process.stdout.fileno())
        io.begin(self.connections)
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
        """Compute blocks while the I/O process lives, and start another one when it ends, until `close`."""
        while True:
            self._engine()
            if self._closing.is_set():
                return
            self._disconnect()
            if not self._connect_again():
                return

    def _disconnect(self) -> None:
        """Put away a connection that has ended, and release the notes that its MIDI port held."""
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
        """Try until it works, or return False once the board is closed."""
        wait = FIRST_WAIT
        while not self._closing.wait(wait):
            try:
                self._connect()
            except NeuralFXError as error:
                self._set_problem(reason(error))
                wait = min(2 * wait, LONGEST_WAIT)
                continue
            self.log(f"{self.host.name}: {self.client} ({self.kind}) is back, {self.latency} frames late, {self.path}")
            return True
        return False

    def _set_problem(self, problem: str) -> None:
        with self._lock:
            if not self._closing.is_set():
                self._problem = f"{problem}; trying again"

    def _counts(self) -> dict[str, int]:
        """Return the counts of this connection and of those before."""
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

    def _messages(self, data: bytes) -> bytes:
        """Take MIDI and connections out of what the I/O process sends; what is not complete yet comes back."""
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
        """Pass on a MIDI message, or the end of its sender."""
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
        """Call what may raise; the audio goes on."""
        try:
            act()
        except Exception as error:  # a message that nobody expected must not end the thread
            with contextlib.suppress(Exception):
                self.log(f"{self.host.name}: MIDI: {type(error).__name__}: {reason(error)}")
