"""Start, share memory with, and end an I/O process, from the worker."""

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

from bridge import limits
from bridge.errors import BridgeError
from bridge.live.ring import Counters, Ring, SharedFile, ring_size

Kind = Literal["jack", "portaudio"]
_MISSING = {
    "jack": "is a JACK server running, and JACK-Client installed (pip install 'neural-fx[live]')?",
    "portaudio": "is the device there, and sounddevice installed (pip install 'neural-fx[live]')?",
}


class IOProcess:
    """A running I/O process. The attributes exist after `meet`.

    Args:
        kind: the audio system, which decides the module to run.
        wanted: settings: name, channels, device, frames, rate.

    Attributes:
        frames: frames of a period.
        sample_rate: Hz.
        client: name of the JACK client or of the device.
        incoming: ring of blocks from the process.
        outgoing: ring of blocks to the process.
        counters: counters of the process.

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
        """Start the process in a session of its own, so that Ctrl-C and Ctrl-Z reach only the worker."""
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
        answer = self._answer()
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
        """Let the audio system run the client, still without audio. Returns when it runs.

        Args:
            connections: port connections to make again, as (own port, other port).

        Raises:
            BridgeError: the audio system does not start the client.
        """
        self._tell(json.dumps({"connections": sorted(connections)}))
        self._answer()

    def play(self) -> None:
        """Exchange blocks from now on. The caller must read the output of the process."""
        self._tell("play")

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, which its output shows
            self.process.stdin.write(line.encode() + b"\n")

    def _answer(self) -> bytes:
        """Wait for a line of the process.

        Raises:
            BridgeError: the process ended, or had to be killed.
        """
        assert self.process.stdout is not None
        timer = threading.Timer(limits.LIVE_START_SECONDS, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            answer = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not answer.endswith(b"\n"):
            raise BridgeError(f"no live audio: {self._ended()}; {_MISSING[self.kind]}")
        return answer

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
            self.process.wait(max(0.0, self._hung_up + limits.LIVE_END_SECONDS - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()

    def free(self) -> str:
        """Free the memory of a stopped process, and return the reason why it ended.

        No thread may still read the output of the process.
        """
        self._reader.join(1)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._close_files()
        if self._unanswered:
            return f"no answer for {limits.LIVE_START_SECONDS:.0f} s"
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
        """Keep the last lines of standard error. Unread lines would fill the pipe."""
        assert self.process.stderr is not None
        with contextlib.suppress(OSError, ValueError), self.process.stderr as pipe:
            for line in pipe:
                if words := line.decode(errors="replace").strip():
                    self._lines.append(words[:500])
