"""One client of the streaming server: its stream, and what it is told about it."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from bridge.host import BoardHost, BoardStream
from bridge.protocol import Hello, Kind, pack_json, pack_reason
from bridge.throttle import Throttle


class Session:
    """A client that is being served.

    Args:
        peer: address of the client.
        hello: its request.
        host: its board.
        stream: its stream.
        log: called with sentences for the user.
    """

    def __init__(
        self, peer: str, hello: Hello, host: BoardHost, stream: BoardStream, log: Callable[[str], None]
    ) -> None:
        self.peer = peer
        self.hello = hello
        self.host = host
        self.log = log
        self.refused = 0
        self.notices: list[bytes] = []
        self._throttle: Throttle[Hashable] = Throttle()
        self.adopt(stream)

    def adopt(self, stream: BoardStream) -> None:
        """Use a stream from now on, and report its problems to the client."""
        self.stream = stream
        self.latency = stream.latency
        self._failed = stream.failed
        stream.failed = self.fail
        stream.refused = self.refuse_event

    def release(self) -> BoardStream:
        """Return the stream without references to this session. A reference cycle would keep it alive too long."""
        self.stream.failed = self._failed
        self.stream.refused = None
        return self.stream

    def fail(self, sentence: str) -> None:
        """Report a failure of the board to its host and to the client."""
        self._failed(sentence)
        self._note("", sentence, key=("board", sentence))

    def refuse_event(self, address: str, sentence: str) -> None:
        """Report an event that was refused to the client and the log, at most once a second for each address.

        Args:
            address: address of the parameter; empty for MIDI.
            sentence: why it was refused.
        """
        self.refused += 1
        if self._note(address, sentence):
            self.log(f"{self.peer}: {self.host.name}: {sentence}")

    def _note(self, address: str, sentence: str, key: Hashable = None) -> bool:
        if not self._throttle.passes(key or address):
            return False
        self.notices.append(pack_reason(Kind.NOTICE, sentence, address=address[:256], refused=self.refused))
        return True

    def take_notices(self) -> bytes:
        """Return the messages that wait for the client, and clear them."""
        if self.stream.latency != self.latency:
            self.latency = self.stream.latency
            self.notices.append(pack_json(Kind.NOTICE, {"latency": self.latency}))
        found = b"".join(self.notices)
        self.notices.clear()
        return found
