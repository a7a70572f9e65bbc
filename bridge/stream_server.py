"""Serve streams to clients. Each client has a thread, which also computes its audio.

Only that thread sends to the client. An error on it affects no other client.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bridge import limits
from bridge.errors import ProtocolError
from bridge.host import BoardHost, BoardStream, board_in
from bridge.media import Media
from bridge.priority import hurry
from bridge.protocol import (
    Audio,
    Hello,
    Kind,
    Refusal,
    pack,
    pack_audio,
    pack_json,
    pack_reason,
    unpack_audio,
    unpack_hello,
)
from bridge.security import GuessLimiter, cleaned
from bridge.sockets import accept_all, hang_up, listen
from bridge.throttle import Throttle, Troubles
from bridge.welcome import welcome
from bridge.wire import Inbox, Presence, receive, refuse, send
from neural_fx.errors import NeuralFXError, reason
from neural_fx.interruption import Interrupted, interruptible
from neural_fx.placement import LivePlacement, has_cuda
from neural_fx.processor import Spec
from neural_fx.values import shown, suggestion

__all__ = ["Session", "StreamServer", "receive", "send"]


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
        connections: open sockets, including those without a HELLO yet.
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
        self.connections: set[socket.socket] = set()
        self.failures = 0
        self.lock = threading.Lock()
        self._greeting: dict[socket.socket, str] = {}
        self._evicted: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self.troubles = Troubles(self._say)
        self.thread = threading.Thread(target=self._accept, name="stream-accept", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Send BYE to all clients and stop listening."""
        deadline = time.monotonic() + limits.STREAM_CLOSE_SECONDS
        self.closing.set()
        hang_up(self.listener)  # wakes the thread that waits for connections
        self.listener.close()
        self._hang_up(socket.SHUT_RD)  # each client's thread wakes up and sends BYE
        with self.lock:
            threads = [self.thread, *self._threads]
        for thread in threads:
            if thread.is_alive():
                thread.join(max(deadline - time.monotonic(), 0))
        self._hang_up(socket.SHUT_RDWR)

    def _hang_up(self, direction: int) -> None:
        with self.lock:
            open_now = list(self.connections)
        for connection in open_now:
            with contextlib.suppress(OSError):
                connection.shutdown(direction)

    def _say(self, sentence: str) -> None:
        """Log a sentence. Errors of the log are ignored."""
        cleaned(self.log)(sentence)

    # -- connections -----------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        accept_all(self.listener, self.closing, self._meet, self.troubles, self._make_room)

    def _make_room(self) -> None:
        """Close a connection that has sent no HELLO, because the system has no room for another one."""
        with self.lock:
            crowding = self._crowding(most=0)
        self._wake(crowding)

    def _meet(self, connection: socket.socket, address: Any) -> None:
        """Serve a new connection on a thread of its own, or refuse it.

        Raises:
            RuntimeError: there are too many connections, or the system allows no more threads.
        """
        try:
            connection.settimeout(None)
            self._begin(connection, str(address[0]))
        except Exception:
            self._turn_away(connection)
            raise

    def _begin(self, connection: socket.socket, peer: str) -> None:
        thread = threading.Thread(target=self._serve, args=(connection, peer), name=f"stream-{peer}", daemon=True)
        with self.lock:
            if len(self.connections) >= limits.STREAM_CLIENTS + 2 * limits.STREAM_GREETINGS:
                raise RuntimeError("too many connections are open")
            self.connections.add(connection)
            self._greeting[connection] = peer
            crowding = self._crowding()
            self._threads.add(thread)
        self._wake(crowding)
        try:
            thread.start()
        except BaseException:
            with self.lock:
                self._threads.discard(thread)
            raise
        if self.closing.is_set():  # `close` may have missed this connection
            self._wake(connection)

    def _wake(self, connection: socket.socket | None) -> None:
        """Wake the thread of a connection. It then reads the end of the stream."""
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)

    def _crowding(self, most: int | None = None) -> socket.socket | None:
        """Choose a connection to close if too many have sent no HELLO.

        It is the oldest one of the peer with the most of them.

        Args:
            most: number of connections that may stay; None for `limits.STREAM_GREETINGS`.
        """
        if len(self._greeting) <= (limits.STREAM_GREETINGS if most is None else most):
            return None
        (worst, _), *_ = Counter(self._greeting.values()).most_common(1)
        oldest = next(connection for connection, peer in self._greeting.items() if peer == worst)
        del self._greeting[oldest]
        self._evicted.add(oldest)
        return oldest

    def _turn_away(self, connection: socket.socket) -> None:
        """Refuse a connection without a thread. Never waits, because the buffer of a new socket is empty."""
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(pack_reason(Kind.REFUSE, "the worker has no room for another client", code=Refusal.BUSY))
        self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self.lock:
            self.connections.discard(connection)
            self._greeting.pop(connection, None)
            self._evicted.discard(connection)
            self._threads.discard(threading.current_thread())
        with contextlib.suppress(OSError):
            connection.close()

    # -- one client ------------------------------------------------------------------------------------------------

    def _serve(self, connection: socket.socket, peer: str) -> None:
        try:
            try:
                self._attend(connection, peer)
            except (EOFError, Interrupted):  # the client left, or `close` or `_begin` woke this thread
                self._check_place(connection)
            if self.closing.is_set():
                send(connection, pack(Kind.BYE), 0.5)
        except ProtocolError as error:
            refuse(connection, error.code or Refusal.MALFORMED, str(error))
        except OSError:
            pass  # the client went away
        except Exception as error:
            self._failed(connection, peer, error)
        finally:
            self._forget(connection)

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
        self._admit(connection)
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

    def _admit(self, connection: socket.socket) -> None:
        """Count a connection as a client.

        Raises:
            ProtocolError: there are too many clients.
        """
        with self.lock:
            clients = len(self.connections) - len(self._greeting) - len(self._evicted)
            admitted = connection in self._greeting and clients < limits.STREAM_CLIENTS
            if admitted:
                del self._greeting[connection]
        if not admitted:
            self._check_place(connection)
            raise ProtocolError(f"{limits.STREAM_CLIENTS} clients are connected already", Refusal.BUSY)

    def _check_place(self, connection: socket.socket) -> None:
        """Check that a connection was not closed to make room for others.

        Raises:
            ProtocolError: it was.
        """
        if connection in self._evicted:
            raise ProtocolError("too many connections wait; connect again, and send HELLO at once", Refusal.BUSY)

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
