"""Serve streams to clients. Each client has a thread, which also computes its audio.

Only that thread sends to the client. An error on it affects no other client.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bridge import limits
from bridge.errors import ProtocolError
from bridge.host import BoardHost, BoardStream, board_in
from bridge.media import Media
from bridge.priority import hurry
from bridge.protocol import Hello, Kind, Refusal, pack, pack_audio, pack_json, pack_reason, unpack_audio, unpack_hello
from bridge.security import GuessLimiter, cleaned
from bridge.sockets import accept_all, hang_up, listen
from bridge.stream_connections import Connections, wake
from bridge.stream_session import Session
from bridge.throttle import Troubles
from bridge.welcome import welcome
from bridge.wire import Inbox, Presence, receive, refuse, send
from neural_fx.arrays import Audio
from neural_fx.errors import NeuralFXError, reason
from neural_fx.interruption import Interrupted, interruptible
from neural_fx.placement import LivePlacement, has_cuda
from neural_fx.processor import Spec
from neural_fx.values import shown, suggestion

__all__ = ["Session", "StreamServer", "receive", "send"]


@dataclass
class StreamServer:
    """Listen for audio clients.

    Args:
        boards: boards by name. The server looks them up at every handshake.
        host: address to bind.
        port: port to bind; 0 for a free one.
        token: token that clients must give; empty for none.
        media: the files that boards sent by clients may use.
        log: called with sentences for the user, from any thread.
        placement: chooses the device of those boards, as for `BoardHost`.
        guesses: slows down peers that guess the token.

    Attributes:
        sessions: the clients that are being served.
        connections: open connections, including those without a HELLO yet.
        failures: number of clients that an error in the worker has ended.
        troubles: counts of errors by kind.

    Raises:
        OSError: the port cannot be bound.
    """

    boards: dict[str, BoardHost]
    host: str = "127.0.0.1"
    port: int = 0
    token: str = ""
    media: Media = field(default_factory=Media)
    log: Callable[[str], None] = lambda sentence: None
    placement: LivePlacement | None = None
    sessions: dict[socket.socket, Session] = field(default_factory=dict)
    guesses: GuessLimiter = field(default_factory=GuessLimiter)

    def __post_init__(self) -> None:
        self.listener = listen(self.host, self.port)
        self.port = self.listener.getsockname()[1]
        self.closing = threading.Event()
        self.connections = Connections()
        self.failures = 0
        self.troubles = Troubles(self._say)
        self.thread = threading.Thread(target=self._accept, name="stream-accept", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Send BYE to all clients and stop listening."""
        deadline = time.monotonic() + limits.STREAM_CLOSE_SECONDS
        self.closing.set()
        hang_up(self.listener)  # wakes the thread that waits for connections
        self.listener.close()
        self.connections.shut_down(socket.SHUT_RD)  # each client's thread wakes up and sends BYE
        for thread in (self.thread, *self.connections.running()):
            if thread.is_alive():
                thread.join(max(deadline - time.monotonic(), 0))
        self.connections.shut_down(socket.SHUT_RDWR)

    def _say(self, sentence: str) -> None:
        """Log a sentence. Errors of the log are ignored."""
        cleaned(self.log)(sentence)

    # -- connections -----------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        accept_all(self.listener, self.closing, self._meet, self.troubles, self.connections.make_room)

    def _meet(self, connection: socket.socket, address: Any) -> None:
        """Serve a new connection on a thread of its own, or refuse it.

        Raises:
            RuntimeError: there are too many connections, or the system allows no more threads.
        """
        try:
            connection.settimeout(None)
            peer = str(address[0])
            self.connections.start(
                connection,
                peer,
                threading.Thread(target=self._serve, args=(connection, peer), name=f"stream-{peer}", daemon=True),
            )
            if self.closing.is_set():  # `close` may have missed this connection
                wake(connection)
        except Exception:
            self._turn_away(connection)
            raise

    def _turn_away(self, connection: socket.socket) -> None:
        """Refuse a connection without a thread. Never waits, because the buffer of a new socket is empty."""
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(pack_reason(Kind.REFUSE, "the worker has no room for another client", code=Refusal.BUSY))
        self.connections.forget(connection)

    # -- one client ------------------------------------------------------------------------------------------------

    def _serve(self, connection: socket.socket, peer: str) -> None:
        try:
            try:
                self._attend(connection, peer)
            except (EOFError, Interrupted):  # the client left, or the server woke this thread
                self.connections.check(connection)
            if self.closing.is_set():
                send(connection, pack(Kind.BYE), 0.5)
        except ProtocolError as error:
            refuse(connection, error.code or Refusal.MALFORMED, str(error))
        except OSError:
            pass  # the client went away
        except Exception as error:
            self._failed(connection, peer, error)
        finally:
            self.connections.forget(connection)

    def _failed(self, connection: socket.socket, peer: str, error: Exception) -> None:
        """Count and log an error of the worker, and disconnect the client."""
        self.failures += 1
        kind = type(error).__name__
        self.troubles.note(f"the worker failed: {kind}", f"{peer}: {reason(error)}")
        refuse(connection, Refusal.INTERNAL, f"the worker failed: {kind}: {reason(error)}")

    def _attend(self, connection: socket.socket, peer: str) -> None:
        """Do the handshake with a client, and play until it leaves."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        inbox = Inbox(connection)
        hello = self._hello(inbox, peer)
        self.connections.admit(connection)
        presence = Presence(connection)
        with interruptible(presence.left):
            host = self._host(hello)
            session = Session(peer, hello, host, self._open(host, hello), self._say)
            try:
                self.sessions[connection] = session
                send(connection, welcome(host, session.stream, self.boards, self.media.base))
                self._say(f"{peer} plays through {host.name}: {hello.channels} channels, {hello.sample_rate:g} Hz")
                hurry()
                self._play(connection, inbox, session, presence)
            finally:
                self.sessions.pop(connection, None)
                stream = session.release()
                host.close(stream)
                played = stream.telemetry()
                self._say(f"{peer} left {host.name}: {played.blocks} blocks, {played.late} late")

    def _hello(self, inbox: Inbox, peer: str) -> Hello:
        deadline = time.monotonic() + limits.STREAM_HANDSHAKE_SECONDS
        _, _, payload = inbox.receive(deadline=deadline, allowed=(Kind.HELLO,))
        hello = unpack_hello(bytes(payload))
        if problem := self.guesses.problem(peer, hello.token, self.token):
            raise ProtocolError(f"{problem}; give the token of the worker", Refusal.TOKEN)
        return hello

    def _host(self, hello: Hello) -> BoardHost:
        """Return the board for a client: the one it names, the first that fits, or one made from the client's text.

        Raises:
            ProtocolError: there is no such board, or the text is refused.
        """
        boards = dict(self.boards)
        fitting = [host for host in boards.values() if host.takes_notes == hello.notes]
        host = boards.get(hello.board) if hello.board else next(iter(fitting), None)
        if host is not None:
            return host
        if hello.text:
            with _refusing(Refusal.BOARD, "the session's board"):
                make = board_in(hello.text, self.media, Spec(hello.sample_rate, hello.channels, hello.block))
                return BoardHost(hello.board, make, lambda _, said: self._say(said), self.placement)
        known = ", ".join(boards) or "none"
        wanted = shown(hello.board) if hello.board else "that takes notes" if hello.notes else "for audio"
        hint = suggestion(hello.board, boards) if hello.board else ""
        raise ProtocolError(f"no board {wanted}{hint}; there is: {known}", Refusal.BOARD)

    def _open(self, host: BoardHost, hello: Hello) -> BoardStream:
        with _refusing(Refusal.FORMAT, f"{shown(hello.board)} cannot play this"):
            return host.open(Spec(hello.sample_rate, hello.channels, _piece(host, hello)))

    def _play(self, connection: socket.socket, inbox: Inbox, session: Session, presence: Presence) -> None:
        while not self.closing.is_set():
            kind, sequence, payload = inbox.receive(idle=limits.STREAM_IDLE_SECONDS)
            if kind is Kind.BLOCK:
                if presence.left():
                    return
                out = pack_audio(self._computed(session, payload))
                send(connection, session.take_notices() + pack(Kind.AUDIO, out, sequence))
            elif kind is Kind.PING:
                send(connection, pack(Kind.PONG, bytes(payload), sequence))
            elif kind is Kind.RESET:
                self._restart(session)
                send(connection, pack_json(Kind.RESET, {"latency": session.stream.latency}, sequence))
            elif kind is Kind.BYE:
                return
            else:
                raise ProtocolError(f"{kind.name} is not for a client to send here", Refusal.MALFORMED)

    def _computed(self, session: Session, payload: memoryview) -> Audio:
        """Compute the output for a BLOCK.

        Raises:
            ProtocolError: channels or frames are not those of the handshake.
        """
        audio, events = unpack_audio(payload)
        hello = session.hello
        if audio.shape[0] != hello.channels or audio.shape[1] > hello.block:
            raise ProtocolError(f"a block of {audio.shape} does not fit what was agreed", Refusal.FORMAT)
        return session.stream.process(audio, events)

    def _restart(self, session: Session) -> None:
        stream = self._open(session.host, session.hello)
        session.host.close(session.release())
        session.adopt(stream)


@contextlib.contextmanager
def _refusing(code: str, what: str) -> Iterator[None]:
    """Convert errors of a board to a ProtocolError for the client.

    Otherwise, an OSError of a file would look like an error of the connection.

    Args:
        code: code of the REFUSE.
        what: beginning of the message.
    """
    try:
        yield
    except ProtocolError:
        raise
    except (NeuralFXError, ValueError, RuntimeError, OSError, MemoryError) as error:
        raise ProtocolError(f"{what}: {reason(error)}", code) from None


def _piece(host: BoardHost, hello: Hello) -> int:
    """Return the frames that a stream computes at once. Short pieces let the worker notice that a client left.

    Devices that run the pieces of a long block as one batch get a whole BLOCK.
    """
    device = host.placement.device
    batches = device.partition(":")[0] not in ("auto", "cpu") or (device == "auto" and has_cuda())
    most = limits.PROTOCOL_MESSAGE_BYTES // (4 * hello.channels)
    return min(hello.block, most if batches else min(limits.STREAM_PIECE_FRAMES, most))
