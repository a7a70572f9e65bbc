"""Rules about who may control a worker: tokens, web origins, limits on guesses and connections, clean text.

`docs/security.md` states the rules for users. The servers apply them with the functions of this module.
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

LONGEST_LINE = 1000
"""Characters of network text that a log line keeps."""
GUESSES_AT_ONCE, GUESSES_PER_SECOND = 10, 1.0
"""Wrong tokens that one machine may send in a row, and how fast it earns new attempts."""
ALL_GUESSES_AT_ONCE, ALL_GUESSES_PER_SECOND = 100, 10.0
"""The same for all other machines together, so that many addresses do not help."""
MOST_MACHINES = 1024
REPEAT_SECONDS = 60.0
MOST_KINDS = 64
MOST_QUERY_FIELDS = 16

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# -- addresses -----------------------------------------------------------------------------------------------------


def as_address(text: str) -> Address | None:
    """Return an IP address in one form: no scope, an IPv4 address inside IPv6 as IPv4. None if it is a name."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


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
    """Return a host as a URL has it: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


# -- text ----------------------------------------------------------------------------------------------------------

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]?|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]{0,256}(?:\x07|\x1b\\|\x9c)?"
)
_SPACES = frozenset("\t\n\v\f\r\x85\u2028\u2029")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def clean(text: object, longest: int = LONGEST_LINE) -> str:
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
    """Counts what went wrong, and logs each kind once, then at most once a minute.

    Args:
        log: receives the sentences.
        clock: seconds that only grow.
    """

    def __init__(
        self, log: Callable[[str], None] = lambda sentence: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.log, self.clock = cleaned(log), clock
        self.counts: Counter[str] = Counter()
        self._logged: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def note(self, kind: str, sentence: object = "") -> None:
        """Count one event of a kind; never raises.

        Args:
            kind: a short fixed text, such as ``OSC packet``. Text from the network belongs into the sentence.
            sentence: what happened this time.
        """
        with self._lock:
            if kind not in self.counts and len(self.counts) >= MOST_KINDS:
                kind = "other"
            self.counts[kind] += 1
            logged, count = self._logged.get(kind, (-REPEAT_SECONDS, 0))
            if self.clock() - logged < REPEAT_SECONDS and count:
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
    """Attempts left, as of a time."""

    left: float
    since: float

    def refill(self, now: float, most: float, per_second: float) -> None:
        self.left = min(most, self.left + (now - self.since) * per_second)
        self.since = now


class GuessLimiter:
    """Checks tokens, and slows down peers that guess them. Thread-safe, with constant memory.

    A peer without attempts left gets no answer about its token, right or wrong, until it has earned a new one. Only
    wrong tokens cost an attempt. Peers on this machine are not counted with the others, so nobody else can slow them.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.refused = 0
        self._machines: OrderedDict[str, _Bucket] = OrderedDict()
        self._all = _Bucket(ALL_GUESSES_AT_ONCE, clock())
        self._lock = threading.Lock()

    def problem(self, peer: str, given: str, token: str) -> str:
        """Check a token.

        Args:
            peer: numeric address of the machine that sent it.
            given: what it sent.
            token: what is right; empty: none is needed.

        Returns:
            Why the peer is refused, as a sentence. Empty: the token is right.
        """
        if not token:  # there is nothing to guess
            return "wrong token: the worker has none" if given else ""
        remote = not is_loopback(peer)
        with self._lock:
            now = self.clock()
            bucket = self._bucket(machine_of(peer), now)
            wait = (1 - bucket.left) / GUESSES_PER_SECOND
            if remote:
                self._all.refill(now, ALL_GUESSES_AT_ONCE, ALL_GUESSES_PER_SECOND)
                wait = max(wait, (1 - self._all.left) / ALL_GUESSES_PER_SECOND)
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
        """Return the attempts of a machine. The machine that was quiet the longest is forgotten."""
        bucket = self._machines.pop(machine, None) or _Bucket(GUESSES_AT_ONCE, now)
        bucket.refill(now, GUESSES_AT_ONCE, GUESSES_PER_SECOND)
        self._machines[machine] = bucket
        while len(self._machines) > MOST_MACHINES:
            self._machines.popitem(last=False)
        return bucket


# -- connections ---------------------------------------------------------------------------------------------------


class ConnectionLimit:
    """Counts open connections, and keeps some of them free for this machine.

    Args:
        most: of all peers together. Other machines get three quarters of them at most, and one machine a quarter.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0
        self._remote: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, peer: str) -> bool:
        """Count a new connection of a peer; return False if there is no room for it."""
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

    def leave(self, peer: str) -> None:
        """Count a connection less; call once for every `enter` that returned True."""
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
    """Headers of a request, as `websockets.datastructures.Headers` has them."""

    def get_all(self, key: str) -> list[str]:
        """Return all values of a field."""


@dataclass(frozen=True)
class WebRequest:
    """A request or a websocket handshake, as far as the rules need it.

    Attributes:
        query: the part of the target after ``?``.
        headers: all of them.
        peer: numeric address of who asks.
        local: numeric address at which the connection arrived, and the port.
        names: further hosts under which the server is known, such as the one it was told to bind.
    """

    query: str
    headers: HeaderFields
    peer: str
    local: tuple[str, int]
    names: Collection[str] = field(default=())

    def host(self) -> tuple[str, int] | None:
        """Return the host, without brackets, and the port that the client asked for. None: not exactly one."""
        values = self.headers.get_all("Host")
        return host_and_port(values[0]) if len(values) == 1 else None

    def from_browser(self) -> bool:
        """Return whether the request has marks that only browsers add, and that a page cannot take away."""
        return any(self.headers.get_all(name) for name in _BROWSER_HEADERS)

    def tokens(self) -> list[str]:
        """Return the tokens that the request gives, in its query and as ``Authorization: Bearer``."""
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
    """Return the fields of a URL's query; those that cannot be read are left out."""
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_QUERY_FIELDS)
    except ValueError:
        return []


def host_and_port(text: str) -> tuple[str, int] | None:
    """Return the two parts of a Host header, None if it is not exactly a host and perhaps a port."""
    match = _HOST.fullmatch(text.strip(" \t").lower())
    if match is None:
        return None
    host, port = match[1].strip("[]"), int(match[2] or 80)
    if match[1].startswith("[") and not (":" in host and as_address(host)):
        return None
    return host, port


def web_refusal(request: WebRequest, token: str, guesses: GuessLimiter) -> tuple[HTTPStatus, str] | None:
    """Return why a request is refused: an HTTP status and a sentence. None: it may go on.

    Args:
        request: what was asked.
        token: what browsers and other machines must give; never empty.
        guesses: slows down those who guess it.
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
    """Return whether a Host header names this server; a page whose name was rebound to this machine does not."""
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
    """Return whether a request comes from no page or from a page of this very host and port."""
    if any(site.strip().lower() not in _OWN_SITES for site in headers.get_all("Sec-Fetch-Site")):
        return False
    for origin in headers.get_all("Origin"):
        scheme, _, rest = origin.strip().lower().partition("://")
        if scheme != "http" or host_and_port(rest) != host:
            return False
    return len(headers.get_all("Origin")) <= 1
