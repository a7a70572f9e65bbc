"""The worker's side of one I/O process: how it is started, what it shares with the worker, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Literal

from bridge.errors import BridgeError
from bridge.live.ring import Counters, Ring, SharedFile, ring_size

Kind = Literal["jack", "portaudio"]
START_SECONDS = 30.0
"""How long an audio system may take to accept a client; a server that is stopped never answers."""
END_SECONDS = 0.75
"""How long the process may take to leave the audio system, after it was asked, before it is killed."""
_MISSING = {
    "jack": "is a JACK server running, and JACK-Client installed (pip install 'neural-fx[live]')?",
    "portaudio": "is the device there, and sounddevice installed (pip install 'neural-fx[live]')?",
}


class IOProcess:
    """A running I/O process. `meet` finishes what the constructor starts.

    Args:
        kind: the module to run.
        wanted: its settings: name, channels, device, frames, rate.

    Attributes:
        frames: of a period.
        sample_rate: in Hz.
        client: the name of the JACK client, or of the device.
        incoming, outgoing: the rings of blocks from the process and to it.
        counters: what the process counts.

    Raises:
        BridgeError: there is no memory for the rings, or no process can be started.
    """

    frames: int
    sample_rate: float
    client: str
    incoming: Ring
    outgoing: Ring
    counters: Counters

    def __init__(self, kind: Kind, wanted: dict[str, object]) -> None:
        self.kind = kind
        self.channels = int(str(wanted["channels"]))
        self._files: list[SharedFile] = []
        self._unanswered = False
        self._hung_up = 0.0
        try:
            for _ in range(3):
                self._files.append(SharedFile())
            self.process = self._started(wanted)
        except OSError as error:
            self._close_files()
            raise BridgeError(f"no live audio: its process cannot be started: {error}") from None
        self._lines: deque[str] = deque(maxlen=20)
        self._reader = threading.Thread(target=self._read_errors, name="live-errors", daemon=True)
        self._reader.start()

    def _started(self, wanted: dict[str, object]) -> subprocess.Popen[bytes]:
        """Start the process in a session of its own: Ctrl-C and Ctrl-Z at a terminal are for the worker."""
        names = [file.name for file in self._files]
        settings = json.dumps({**wanted, "files": names, "parent": os.getpid()})
        return subprocess.Popen(
            [sys.executable, "-m", f"bridge.live.{self.kind}_process", settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=[name for name in names if isinstance(name, int)],
            start_new_session=True,
        )

    def meet(self) -> None:
        """Wait until the audio system has accepted the client, and share the rings.

        Raises:
            BridgeError: the library, the server or the device is missing, or does not answer.
        """
        assert self.process.stdout is not None
        timer = threading.Timer(START_SECONDS, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            answer = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not answer.endswith(b"\n"):
            raise BridgeError(f"no live audio: {self._ended()}; {_MISSING[self.kind]}")
        about = json.loads(answer)
        self.frames, self.sample_rate, self.client = int(about["frames"]), float(about["rate"]), str(about["name"])
        into, out, counts = self._files
        try:
            for ring in (into, out):
                ring.allocate(ring_size(self.channels, self.frames))
            counts.allocate(Counters.SIZE)
            self.incoming, self.outgoing = (Ring(ring.descriptor, self.channels, self.frames) for ring in (into, out))
            self.counters = Counters(counts.descriptor)
        except OSError as error:
            self._ended()
            raise BridgeError(f"no live audio: no memory for {self.frames} frames a period: {error}") from None

    def begin(self, connections: Iterable[tuple[str, str]]) -> None:
        """Let the process exchange blocks from now on.

        Args:
            connections: of ports, to remake, as (own port, other port).
        """
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, and its output says so
            self.process.stdin.write(json.dumps({"connections": sorted(connections)}).encode() + b"\n")

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def hang_up(self) -> None:
        """Ask the process to leave the audio system and end."""
        assert self.process.stdin is not None
        self._hung_up = self._hung_up or time.monotonic()
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(OSError):
            self.process.kill()

    def stop(self) -> None:
        """Wait for the process to end, or kill it."""
        self.hang_up()
        try:
            self.process.wait(max(0.0, self._hung_up + END_SECONDS - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()

    def free(self) -> str:
        """Free what a stopped process shared, and return its last words. Nobody may read its output any more."""
        self._reader.join(1)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._close_files()
        if self._unanswered:
            return f"no answer for {START_SECONDS:.0f} s"
        if self.process.returncode < 0:
            return f"its process was ended by signal {-self.process.returncode}"
        return self._lines[-1] if self._lines else "its process ended"

    def _give_up(self) -> None:
        self._unanswered = True
        self.kill()

    def _ended(self) -> str:
        self.stop()
        return self.free()

    def _close_files(self) -> None:
        for file in self._files:
            file.close()

    def _read_errors(self) -> None:
        """Keep the last lines of standard error; unread, they would fill the pipe."""
        assert self.process.stderr is not None
        with contextlib.suppress(OSError, ValueError), self.process.stderr as pipe:
            for line in pipe:
                if words := line.decode(errors="replace").strip():
                    self._lines.append(words[:500])
