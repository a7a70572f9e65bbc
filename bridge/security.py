"""Decide who may control a worker: check tokens and web origins, limit guesses and connections, and clean text.

`docs/security.md` describes the rules for users. The servers apply them with the functions of this module.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import re
import secrets
import socket
import threading
import time
import unicodedata
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qsl

from bridge import limits

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# -- addresses -----------------------------------------------------------------------------------------------------


def as_address(text: str) -> Address | None:
    """Parse an IP address. Removes the scope, and converts IPv4 inside IPv6. Returns None for a name."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def plain_address(text: str) -> str:
    """Return a numeric address without scope, an IPv4 address inside IPv6 as IPv4. A name stays as it is."""
    return str(as_address(text) or text)


def is_loopback(host: str) -> bool:
    """Return whether a name or an address can be reached from this machine only."""
    address = as_address(host)
    return address.is_loopback if address is not None else host.lower() == "localhost"


def machine_of(peer: str) -> str:
    """Return the key under which a peer is counted: its address, or for IPv6 its network of 64 bits."""
    address = as_address(peer)
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address or peer)


def family_of(host: str) -> socket.AddressFamily:
    """Return the address family to bind a host with: IPv4 where the host has both.

    Raises:
        OSError: the name cannot be resolved.
    """
    found = {info[0] for info in socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)}
    return socket.AF_INET if socket.AF_INET in found else socket.AF_INET6


def in_url(host: str) -> str:
    """Return a host for a URL, with IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


# -- text ----------------------------------------------------------------------------------------------------------

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]?|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]{0,256}(?:\x07|\x1b\\|\x9c)?"
)
_SPACES = frozenset("\t\n\v\f\r\x85\u2028\u2029")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def clean(text: object, longest: int = limits.LOG_LINE_CHARACTERS) -> str:
    r"""Return text from the network as one line that a terminal or a log can show.

    Removes terminal escape sequences, control characters, invisible characters and those that change the direction of
    writing. Line breaks become spaces.

    >>> clean("a\x1b[31mb\r\nc\u202ed")
    'ab cd'
    """
    line = _ESCAPES.sub("", str(text)[: 4 * longest])
    line = "".join(
        " " if char in _SPACES else char
        for char in line
        if char in _SPACES or unicodedata.category(char) not in _HIDDEN
    )
    line = " ".join(line.split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def cleaned(log: Callable[[str], None]) -> Callable[[str], None]:
    """Return a log that shows only `clean` text, and that never raises."""

    def write(sentence: str) -> None:
        with contextlib.suppress(Exception):  # a closed terminal must not end the thread that reports
            log(clean(sentence))

    return write


class Troubles:
    """Count errors, and log each kind at once, then at most once a minute.

    Args:
        log: called with the sentences.
        clock: returns rising seconds.
    """

    def __init__(
        self, log: Callable[[str], None] = lambda sentence: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.log, self.clock = cleaned(log), clock
        self.counts: Counter[str] = Counter()
        self._logged: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def note(self, kind: str, sentence: object = "") -> None:
        """Count one error. Never raises.

        Args:
            kind: a short fixed text, such as ``OSC packet``. Text from the network belongs in the sentence.
            sentence: what happened this time.
        """
        with self._lock:
            if kind not in self.counts and len(self.counts) >= limits.TROUBLE_KINDS:
                kind = "other"
            self.counts[kind] += 1
            logged, count = self._logged.get(kind, (-limits.TROUBLE_REPEAT_SECONDS, 0))
            if self.clock() - logged < limits.TROUBLE_REPEAT_SECONDS and count:
                return
            more = self.counts[kind] - count
            self._logged[kind] = self.clock(), self.counts[kind]
        times = f" ({more} times)" if more > 1 else ""
        self.log(f"{kind}{times}: {sentence}")


# -- tokens --------------------------------------------------------------------------------------------------------


def new_token() -> str:
    """Return a random token of 256 bits that fits into a URL."""
    return secrets.token_urlsafe(32)


def same_token(given: str, token: str) -> bool:
    """Return whether two tokens are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode("utf-8", "surrogatepass"))


@dataclass
class _Bucket:
    """Number of attempts left at a time."""

    left: float
    since: float

    def refill(self, now: float, most: float, per_second: float) -> None:
        self.left = min(most, self.left + (now - self.since) * per_second)
        self.since = now


class GuessLimiter:
    """Check tokens, and slow down peers that guess them. Thread-safe, with constant memory.

    The tokens of a peer without attempts left are not checked until it has earned a new attempt. Only wrong tokens cost
    an attempt. Peers on this machine are counted separately, so that other machines cannot slow them down.

    Args:
        clock: returns rising seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.refused = 0
        self._machines: OrderedDict[str, _Bucket] = OrderedDict()
        self._all = _Bucket(limits.ALL_GUESSES_AT_ONCE, clock())
        self._lock = threading.Lock()

    def problem(self, peer: str, given: str, token: str) -> str:
        """Check a token.

        Args:
            peer: numeric address of the machine that sent it.
            given: the token that it sent.
            token: the right token; empty if none is needed.

        Returns:
            A sentence that says why the peer is refused; empty if the token is right.
        """
        if not token:  # there is nothing to guess
            return "wrong token: the worker has none" if given else ""
        remote = not is_loopback(peer)
        with self._lock:
            now = self.clock()
            bucket = self._bucket(machine_of(peer), now)
            wait = (1 - bucket.left) / limits.GUESSES_PER_SECOND
            if remote:
                self._all.refill(now, limits.ALL_GUESSES_AT_ONCE, limits.ALL_GUESSES_PER_SECOND)
                wait = max(wait, (1 - self._all.left) / limits.ALL_GUESSES_PER_SECOND)
            if wait > 1e-9:
                self.refused += 1
                return f"too many wrong tokens; wait {max(wait, 0.1):.1f} seconds, then try again"
            if same_token(given, token):
                return ""
            bucket.left -= 1
            if remote:
                self._all.left -= 1
        return "wrong token"

    def _bucket(self, machine: str, now: float) -> _Bucket:
        """Return the attempts of a machine. If there are too many machines, the one heard longest ago is removed."""
        bucket = self._machines.pop(machine, None) or _Bucket(limits.GUESSES_AT_ONCE, now)
        bucket.refill(now, limits.GUESSES_AT_ONCE, limits.GUESSES_PER_SECOND)
        self._machines[machine] = bucket
        while len(self._machines) > limits.GUESSING_MACHINES:
            self._machines.popitem(last=False)
        return bucket


# -- connections ---------------------------------------------------------------------------------------------------


class ConnectionLimit:
    """Count open connections, and reserve some of them for this machine.

    Args:
        most: largest number for all peers. Other machines together get three quarters of it, and one of them a quarter.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0
        self._remote: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, peer: str) -> bool:
        """Count a new connection of a peer. Return False if there is no room for it."""
        with self._lock:
            if self.count >= self.most:
                return False
            if not is_loopback(peer):
                machine = machine_of(peer)
                if self._remote[machine] >= self.most // 4 or self._remote.total() >= 3 * self.most // 4:
                    return False
                self._remote[machine] += 1
            self.count += 1
            return True

    def start(self, peer: str, thread: threading.Thread) -> None:
        """Start the thread of a connection that was counted. If it cannot start, the connection is not counted.

        Args:
            peer: as for `enter`.
            thread: serves the connection, and calls `leave` at its end.

        Raises:
            RuntimeError: the system allows no more threads.
        """
        try:
            thread.start()
        except RuntimeError:
            self.leave(peer)
            raise

    def leave(self, peer: str) -> None:
        """Count a closed connection. Call this once for every `enter` that returned True."""
        with self._lock:
            self.count -= 1
            if not is_loopback(peer):
                machine = machine_of(peer)
                self._remote[machine] -= 1
                if not self._remote[machine]:
                    del self._remote[machine]


# -- the web -------------------------------------------------------------------------------------------------------

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::([0-9]{1,5}))?", re.ASCII)
_BROWSER_HEADERS = (
    "Origin",
    "Referer",
    "Sec-Fetch-Site",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Dest",
    "Sec-Fetch-User",
    "Sec-CH-UA",
    "Access-Control-Request-Method",
    "Access-Control-Request-Private-Network",
)
_OWN_SITES = ("same-origin", "none")
"""Values of Sec-Fetch-Site for our own pages, and for an address that the user typed."""


class HeaderFields(Protocol):
    """Headers of a request, with the interface of `websockets.datastructures.Headers`."""

    def get_all(self, key: str) -> list[str]:
        """Return all values of a field."""


@dataclass(frozen=True)
class WebRequest:
    """The parts of a request or a websocket handshake that the rules need.

    Attributes:
        query: the part of the target after ``?``.
        headers: all headers.
        peer: numeric address of the peer.
        local: numeric address and port at which the connection arrived.
        names: further host names of the server, such as the one that it binds.
    """

    query: str
    headers: HeaderFields
    peer: str
    local: tuple[str, int]
    names: Collection[str] = field(default=())

    def host(self) -> tuple[str, int] | None:
        """Return the host without brackets and the port of the Host header. None if there is not exactly one."""
        values = self.headers.get_all("Host")
        return host_and_port(values[0]) if len(values) == 1 else None

    def from_browser(self) -> bool:
        """Return whether the request has headers that only browsers add, and that a page cannot remove."""
        return any(self.headers.get_all(name) for name in _BROWSER_HEADERS)

    def tokens(self) -> list[str]:
        """Return the tokens in the query and in ``Authorization: Bearer``."""
        found = [value for name, value in query_fields(self.query) if name == "token"]
        for value in self.headers.get_all("Authorization"):
            scheme, _, given = value.partition(" ")
            if scheme.lower() == "bearer":
                found.append(_as_sent(given.strip()).decode("utf-8", "replace"))
        return found


def _as_sent(value: str) -> bytes:
    """Return the bytes of a header, which `websockets` decodes as Latin-1, or in older versions as ASCII."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape")


def query_fields(query: str) -> list[tuple[str, str]]:
    """Return the fields of a URL's query; empty if it cannot be parsed."""
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=limits.HTTP_QUERY_FIELDS)
    except ValueError:
        return []


def host_and_port(text: str) -> tuple[str, int] | None:
    """Parse a Host header. Return host and port, or None if it is anything else than a host and an optional port."""
    match = _HOST.fullmatch(text.strip(" \t").lower())
    if match is None:
        return None
    host, port = match[1].strip("[]"), int(match[2] or 80)
    if match[1].startswith("[") and not (":" in host and as_address(host)):
        return None
    return host, port


def web_refusal(request: WebRequest, token: str, guesses: GuessLimiter) -> tuple[HTTPStatus, str] | None:
    """Decide whether a request is allowed.

    Args:
        request: the request.
        token: token that browsers and other machines must give; never empty.
        guesses: slows down peers that guess it.

    Returns:
        An HTTP status and a sentence that says why the request is refused; None if it is allowed.
    """
    host = request.host()
    if host is None:
        return HTTPStatus.BAD_REQUEST, "the request needs exactly one Host header: HOST:PORT"
    if not _is_own_host(host, request):
        here = f"{in_url(request.local[0])}:{request.local[1]}"
        return HTTPStatus.FORBIDDEN, f"this server is not known under that host; ask for http://{here}/"
    if not _is_own_origin(host, request.headers):
        return HTTPStatus.FORBIDDEN, "web pages of other sites may not use this server"
    if is_loopback(request.peer) and is_loopback(host[0]) and not request.from_browser():
        return None
    given = request.tokens()
    if not given:
        sentence = "a token is needed: open the URL that `neural-fx serve` prints, add ?token=TOKEN, or send the header"
        return HTTPStatus.UNAUTHORIZED, f"{sentence} Authorization: Bearer TOKEN"
    if len(given) > 1:
        return HTTPStatus.BAD_REQUEST, "the request has several tokens; give one"
    problem = guesses.problem(request.peer, given[0], token)
    if problem:
        return (HTTPStatus.UNAUTHORIZED if problem == "wrong token" else HTTPStatus.TOO_MANY_REQUESTS), problem
    return None


def _is_own_host(host: tuple[str, int], request: WebRequest) -> bool:
    """Return whether a Host header names this server. This stops web pages that use DNS rebinding."""
    name, port = host
    if port != request.local[1]:
        return False
    if is_loopback(name):
        return is_loopback(request.local[0])
    address = as_address(name)
    if address is not None:
        return address == as_address(request.local[0])
    return name in {known.lower() for known in request.names}


def _is_own_origin(host: tuple[str, int], headers: HeaderFields) -> bool:
    """Return whether a request comes from a page of this host and port, or from no page."""
    if any(site.strip().lower() not in _OWN_SITES for site in headers.get_all("Sec-Fetch-Site")):
        return False
    for origin in headers.get_all("Origin"):
        scheme, _, rest = origin.strip().lower().partition("://")
        if scheme != "http" or host_and_port(rest) != host:
            return False
    return len(headers.get_all("Origin")) <= 1
