"""Play the blocks of a live stream: in the native loop if the board allows it, else in Python.

The native loop is a thread of the compiled module that never waits for the interpreter. It uses the state of the
stream. Parameter changes go to it through a queue. If the loop cannot do something, the stream returns to Python
between two blocks, and later goes back to the loop.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from bridge import limits
from bridge.host.changes import Change
from bridge.host.stream import FADE_SECONDS, BoardStream, Voice
from bridge.live.addresses import Addresses
from bridge.live.ring import Ring
from neural_fx.engines import cpu
from neural_fx.errors import NeuralFXError, reason
from neural_fx.native_loop import Plan, Switch, available, native_plan, prepare_for_loop, settled
from neural_fx.pedalboard import Pedalboard

_FADES = "another board fades in"
_RESIZES = "a capture changes the size of its network"
_GIVEN_UP = "the new board failed, and the old one stays: its output is not finite (NaN or infinite)"
_CHANGE_WAITS = "a change that only Python can make waits"
_NOT_FINITE = "the board failed and is bypassed: its output is not finite (NaN or infinite)"


class LiveEngine:
    """Takes blocks from one ring, plays them, and puts them into another.

    Args:
        stream: what plays them.
        incoming, outgoing: of blocks of the stream's channels and buffer size.
        source: a descriptor that gives ``B`` for each block that was put into `incoming`, and other messages. Nothing
            is read before `start`.
        report: called on the engine's thread with `path`, once it is another one than at the start and not only for a
            moment.

    Attributes:
        native: whether the native loop plays at the moment.
        reason: why it does not; empty if it does.
    """

    def __init__(
        self,
        stream: BoardStream,
        incoming: Ring,
        outgoing: Ring,
        source: int,
        report: Callable[[str], None] = lambda path: None,
    ) -> None:
        self.stream, self.incoming, self.outgoing, self.source = stream, incoming, outgoing, source
        self.native, self.reason = False, ""
        self.report, self._reported = report, ""
        self._lock = threading.Lock()
        self._block = np.zeros((stream.spec.channels, stream.spec.buffer_size), np.float32)
        self._addresses: Addresses | None = None
        self._coming: Addresses | None = None  # of the board that fades in
        self._judged: Voice | None = None
        self._counted = (0, 0)
        self._given_up = False
        self._rest = b""  # read of the source by the loop, and not passed on
        self._loop: Any = None
        if available():
            self._loop = cpu.core.NativeLoop(
                source, incoming.memory(), outgoing.memory(), Ring.HEAD, limits.LIVE_RING_BLOCKS, self._block.size
            )
            stream.fit, stream.wake = self._fit, self._changed
            if self._fit(stream.voice.board):
                stream.voice = Voice(stream.voice.board, stream.spec)

    def start(self) -> None:
        """Let the loop read the source from now on, if it can play the board."""
        with self._lock:
            self._hand_over()
            self._reported = self.path

    @property
    def path(self) -> str:
        """``native loop``, or ``in Python`` with the reason."""
        return "native loop" if self.native else f"in Python: {self.reason}"

    def serve(self, messages: Callable[[bytes], bytes]) -> None:
        """Play until the source ends.

        Args:
            messages: called with bytes of the source. It returns the rest that is not a whole message yet.
        """
        held = b""
        while (data := self._wait()) is not None:
            held = messages(held + data)
            self._turn(whole=not held)
        with self._lock:
            if self.native:
                self._take_back()

    def close(self) -> None:
        """End the loop after the present block."""
        with self._lock:
            if self.native:
                self._take_back()
            if self._loop is not None:
                self._loop.close()
            self._loop = self._addresses = self._coming = None  # compiled objects must not outlive the interpreter

    @property
    def allocations(self) -> int | None:
        """Number of C++ allocations of the loop's thread. Only tests count them; for others it is None."""
        count: int | None = self._loop.allocations
        return count

    # -- the engine's thread -----------------------------------------------------------------------------------------

    def _wait(self) -> bytes | None:
        """Return bytes of the source; empty if there is something else to do; None after the source has ended."""
        loop = self._loop
        if loop is None:
            return os.read(self.source, 65536) or None
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        watched = select.poll()
        read_from = loop.messages if self.native else self.source
        for descriptor in (read_from, loop.attention):
            watched.register(descriptor, select.POLLIN)
        ready = dict(watched.poll(1000 * limits.LIVE_METER_SECONDS if self.native else None))
        if loop.attention in ready:
            loop.heard()
        if read_from not in ready:
            return b""
        try:
            return os.read(read_from, 65536) or None
        except BlockingIOError:  # the stream came back to Python, and with it the messages
            return b""

    def _turn(self, whole: bool) -> None:
        """Move the stream to the loop or back if necessary, and play the waiting blocks if it is in Python.

        Args:
            whole: whether the source is at the beginning of a message. The loop can start only there.
        """
        failed = False
        with self._lock:
            if self.native:
                self._read_meters()
                self._follow_fade()
                failed = self._loop.failed
                if failed or not self._forward():
                    self._take_back()
        if failed:
            self.stream.muted = True
            self.stream.failed(_NOT_FINITE)
        while not self.native and self.incoming.take(self._block):
            self.outgoing.put(self.stream.process(self._block))
            if whole:
                with self._lock:
                    self._hand_over()
        self._report_path()
        self._report_fade()

    def _report_path(self) -> None:
        lasting = self.native or self.stream.voice is self._judged
        if lasting and self.path != self._reported:
            self._reported = self.path
            self.report(self.path)

    # -- between Python and the loop -----------------------------------------------------------------------------------

    def _fit(self, board: Pedalboard) -> bool:
        """Prepare a board for the loop before its stream begins. Return whether it was changed."""
        try:
            return prepare_for_loop(board, self.stream.spec)
        except Exception:  # Python plays a plugin that cannot be measured
            return True

    def _changed(self) -> None:
        """Send changes of the stream to the loop. Any thread may call this."""
        with self._lock:
            if not self.native:
                return
            self._follow_fade()
            if not self._forward():
                self._take_back()
                self._hand_over(fading=True)
                self._loop.call()  # for blocks and messages that wait

    def _forward(self) -> bool:
        """Send the waiting changes to the loop. Return False if the stream must return to Python."""
        if self.stream.next is not (self._coming.voice if self._coming else None):
            return False
        waiting = self.stream.schedule.take_all()
        for number, change in enumerate(waiting):
            if not self._send(change):
                self.stream.schedule.put_back(waiting[number:])
                return False
        return True

    def _send(self, change: Change) -> bool:
        """Send a change to the loop, for the board that plays and the one that fades in.

        Returns:
            False if Python must make the change, or must report that neither board has the parameter.
        """
        taken = False
        for addresses in (self._addresses, self._coming):
            if addresses is None:
                continue
            try:
                aims = addresses.aims(change)
            except NeuralFXError:  # two boards have different addresses
                continue
            if aims is None or not all(self._loop.change(addresses.plan.program, *aim) for aim in aims):
                return False
            taken = True
        return taken

    def _hand_over(self, fading: bool = False) -> None:
        """Give the stream to the loop, if the loop can play it.

        Args:
            fading: whether another board may be fading in.
        """
        stream = self.stream
        if stream.voice is self._judged:
            return
        self.reason = self._obstacle(fading)
        if self.reason:
            return
        plan = self._plan(stream.voice)
        if isinstance(plan, str):
            self._judged, self.reason = stream.voice, plan
            return
        if stream.next is not None:
            coming = self._plan(stream.next)
            if isinstance(coming, str):
                self.reason = _FADES
                return
            self._coming = Addresses(stream, stream.next, coming)
        self._addresses = Addresses(stream, stream.voice, plan)
        if not self._forward():
            self.reason = _CHANGE_WAITS
        elif self._start(plan.program, self._coming and self._coming.plan.program):
            self._loop.load = stream.load
            self.native = True
            return
        self._recall()

    def _start(self, program: Any, coming: Any) -> bool:
        stream = self.stream
        length = round(FADE_SECONDS * stream.spec.sample_rate)
        fade = (stream._warming, stream._faded, length)
        return bool(self._loop.start(program, coming, *fade, stream.schedule.now))

    def _follow_fade(self) -> None:
        """Check whether the loop has finished a fade to another board, or has given that board up."""
        if self._coming is None:
            return
        if self._loop.fade_finished:
            self.stream.voice, self._addresses = self._coming.voice, self._coming
        elif self._loop.fade_failed:
            self._given_up = True
        else:
            return
        if self.stream.next is self._coming.voice:
            self.stream.next = None
        self._coming = None

    def _report_fade(self) -> None:
        if self._given_up:
            self._given_up = False
            self.stream.failed(_GIVEN_UP)

    def _obstacle(self, fading: bool = False) -> str:
        """Return why the loop can play no board at the moment; empty if it can."""
        stream = self.stream
        if self._loop is None and available():
            return "closed"
        if stream.muted:
            return "the board failed and is bypassed"
        if stream.next is not None and not fading:
            return _FADES
        if len(stream.schedule) > limits.LIVE_CHANGES_HANDED_OVER:
            return "too many changes wait"
        boards = [voice.board for voice in (stream.voice, stream.next) if voice]
        return "" if all(map(settled, boards)) else _RESIZES

    def _plan(self, voice: Voice) -> Plan | str:
        stream = self.stream
        switch = Switch(stream._wet, stream, stream.bypass, self._set_bypass)
        try:
            return native_plan(voice.board, stream.spec, switch)
        except Exception as error:  # third-party plugins can raise anything; Python plays them
            return f"the native loop does not know the board: {type(error).__name__}: {reason(error)}"

    def _set_bypass(self, value: float) -> None:
        self.stream.bypass = value

    def _take_back(self) -> None:
        """Return the stream to Python from the next block on."""
        rest = self._loop.stop()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._loop.messages, 65536):
                self._rest += data
        self._rest += rest
        self._read_meters()
        self._follow_fade()
        self._restore()
        self._recall()
        self.native, self.reason = False, self._obstacle() or _CHANGE_WAITS

    def _restore(self) -> None:
        """Copy the state of the loop to the stream."""
        assert self._addresses is not None
        self._addresses.plan.restore()
        self.stream.schedule.now = self._loop.clock
        if self._coming is not None:
            self._coming.plan.restore()
            if self.stream.next is self._coming.voice:
                self.stream._warming, self.stream._faded = self._loop.fade

    def _recall(self) -> None:
        """Return the changes that the loop has not made to the stream."""
        assert self._addresses is not None
        aims = self._loop.unmade(self._addresses.plan.program)
        self.stream.schedule.put_back(self._addresses.change(*aim) for aim in aims)
        self._coming = None

    def _read_meters(self) -> None:
        """Move what the loop has counted to the stream's telemetry. The lock is held."""
        stream, (blocks, late) = self.stream, self._counted
        self._counted = (self._loop.blocks, self._loop.late)
        if self._counted[0] > blocks:
            stream.peaks.add(*self._loop.take_peaks())
        stream.late += self._counted[1] - late
        stream.load = self._loop.load
        stream.blocks += self._counted[0] - blocks
