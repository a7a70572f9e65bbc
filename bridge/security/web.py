"""Decide which requests of browsers and other programs a web server answers: Host, Origin and token."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qsl

from bridge import limits
from bridge.security.addresses import as_address, in_url, is_loopback
from bridge.security.tokens import GuessLimiter

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
