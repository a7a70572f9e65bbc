"""The rules of who may control a worker: text, tokens, guesses, connections, Host and Origin."""

from __future__ import annotations

import errno
import socket
import threading
import unicodedata
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers

from bridge import connect, limits
from bridge.errors import BridgeError
from bridge.security import (
    ConnectionLimit,
    GuessLimiter,
    WebRequest,
    clean,
    cleaned,
    family_of,
    host_and_port,
    is_loopback,
    machine_of,
    new_token,
    same_token,
    web_refusal,
)
from bridge.sockets import accept_all, listen, send_within
from bridge.throttle import Troubles
from bridge.worker import Options, Worker

TOKEN = "s3cret-ü"
PORT = 9002


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# -- text ----------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF), max_size=80))
def test_clean_text_is_one_visible_line(text: str) -> None:
    line = clean(text, 40)
    assert len(line) <= 40
    assert line == line.strip()
    assert all(c == " " or unicodedata.category(c)[0] not in "CZ" or unicodedata.category(c) == "Zs" for c in line)
    assert clean(line, 40) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Verstärker 'lead' 日本 🎸", "Verstärker 'lead' 日本 🎸"),
        ("a\r\nINFO: forged\n", "a INFO: forged"),
        ("\x1b[2J\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\x1b]8;;http://evil\x1b\\y", "xy"),
        ("\x9b31mred", "red"),
        ("\u202egnp.exe\u2066\u2028x", "gnp.exe x"),
        ("a\x00b\x7fc\x85d", "abc d"),
        ("\udc80x", "x"),
        ("x" * 5000, "x" * 997 + "..."),
    ],
)
def test_text_from_the_network_is_cleaned(text: str, line: str) -> None:
    assert clean(text) == line


def test_escapes_that_do_not_end_take_no_time() -> None:
    """Work is bounded by the length that is shown: text of any length is cut before it is searched."""
    assert len(clean("\x1b]" * 500_000)) <= limits.LOG_LINE_CHARACTERS


def test_troubles_are_counted_and_logged_once_a_minute() -> None:
    clock, lines = Clock(), list[str]()
    troubles = Troubles(lines.append, clock)
    for _ in range(1000):
        troubles.note("bad packet", "from \x1b[31m10.0.0.1\n")
    assert lines == ["bad packet: from 10.0.0.1"]
    clock.now += 61
    troubles.note("bad packet", "again")
    assert lines[1:] == ["bad packet (1000 times): again"]
    assert troubles.counts["bad packet"] == 1001
    for i in range(1000):
        troubles.note(f"kind {i}")
    assert len(troubles.counts) <= limits.TROUBLE_KINDS + 1


def test_a_log_that_fails_harms_nobody() -> None:
    def broken(sentence: str) -> None:
        raise BrokenPipeError

    Troubles(broken).note("x", "y")
    cleaned(broken)("z")


def test_what_a_worker_logs_is_clean() -> None:
    lines: list[str] = []
    worker = Worker(Options({}, osc_port=0, stream_port=0, oscquery_port=0, announce=False), lines.append)
    try:
        worker.log("MIDI: controller 7 moves \x1b]0;x\x07lead/\u202emix\n")
    finally:
        worker.close()
    assert lines == ["MIDI: controller 7 moves lead/mix"]


# -- addresses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("::ffff:192.168.1.5", False),
        ("fe80::1%eth0", False),
        ("127.0.0.1.evil.com", False),
        ("localhost.evil.com", False),
        ("127.1", False),
    ],
)
def test_what_is_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_machine_is_one_address_or_one_ipv6_network() -> None:
    assert machine_of("10.0.0.1") == machine_of("::ffff:10.0.0.1") != machine_of("10.0.0.2")
    assert machine_of("2001:db8::1") == machine_of("2001:db8::ffff:2") != machine_of("2001:db8:0:1::1")
    assert family_of("127.0.0.1") == family_of("localhost") == family_of("") == socket.AF_INET
    assert family_of("::1") == socket.AF_INET6


# -- tokens --------------------------------------------------------------------------------------------------------


def test_tokens_of_any_text_are_compared() -> None:
    assert same_token("ü😀\ud800", "ü😀\ud800")
    assert not same_token("ü", "u")
    assert not same_token("", "x")
    assert len({new_token() for _ in range(10)}) == 10
    assert len(new_token()) >= 43


def test_guesses_of_a_machine_are_slowed_down() -> None:
    clock = Clock()
    guesses = GuessLimiter(clock)
    answers = [guesses.problem("10.0.0.1", f"guess {i}", TOKEN) for i in range(1000)]
    assert answers.count("wrong token") == limits.GUESSES_AT_ONCE
    assert "too many wrong tokens; wait 1.0 seconds" in answers[-1]
    assert guesses.problem("10.0.0.1", TOKEN, TOKEN).startswith("too many"), "the right one is not found out either"
    assert guesses.problem("10.0.0.2", TOKEN, TOKEN) == "", "nobody else waits"
    clock.now += 1.01 / limits.GUESSES_PER_SECOND
    assert guesses.problem("10.0.0.1", TOKEN, TOKEN) == ""
    assert guesses.problem("10.0.0.1", TOKEN, TOKEN) == "", "a right token costs nothing"
    clock.now += 1e6
    again = [guesses.problem("10.0.0.1", "guess", TOKEN) for _ in range(100)]
    assert again.count("wrong token") == limits.GUESSES_AT_ONCE, "patience is not saved up"


def test_guesses_from_many_addresses_are_slowed_down_with_constant_memory() -> None:
    clock = Clock()
    guesses = GuessLimiter(clock)
    answers = [guesses.problem(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}", "guess", TOKEN) for i in range(5000)]
    assert answers.count("wrong token") == limits.ALL_GUESSES_AT_ONCE
    assert len(guesses._machines) <= limits.GUESSING_MACHINES
    assert guesses.problem("127.0.0.1", TOKEN, TOKEN) == "", "other machines cannot slow this one"
    clock.now += 1
    more = [guesses.problem(f"11.0.{i >> 8}.{i & 255}", "guess", TOKEN) for i in range(500)]
    assert more.count("wrong token") == limits.ALL_GUESSES_PER_SECOND
    networks = [guesses.problem(f"2001:db8::{i:x}", "guess", "x") for i in range(1, 50)]
    assert "wrong token" not in networks, "one network of IPv6 is one machine"


def test_without_a_token_nobody_can_be_locked_out() -> None:
    guesses = GuessLimiter(Clock())
    for _ in range(1000):
        assert guesses.problem("127.0.0.1", "guess", "").startswith("wrong token")
    assert guesses.problem("127.0.0.1", "", "") == ""


def test_guesses_from_many_threads_are_all_counted() -> None:
    guesses, found = GuessLimiter(Clock()), list[str]()

    def guess() -> None:
        found.extend(guesses.problem("10.0.0.1", "guess", TOKEN) for _ in range(200))

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count("wrong token") == limits.GUESSES_AT_ONCE


def test_guesses_of_audio_clients_are_slowed_down() -> None:
    """All transports of a worker share one limiter: guessing by turns does not help."""
    worker = Worker(Options({}, token=TOKEN, osc_port=0, stream_port=0, oscquery_port=0, announce=False))
    try:
        guesses, now = worker.osc.guesses, 1000.0
        guesses.clock = lambda: now
        assert worker.streams.guesses is guesses
        address = f"127.0.0.1:{worker.streams.port}"
        for _ in range(limits.GUESSES_AT_ONCE):
            with pytest.raises(BridgeError, match="wrong token"):
                connect(address, "board", token="guess")
        with pytest.raises(BridgeError, match="too many wrong tokens; wait 1"):
            connect(address, "board", token=TOKEN)
        now += 2
        connect(address, "board", token=TOKEN).close()
    finally:
        worker.close()


# -- connections ---------------------------------------------------------------------------------------------------


def test_other_machines_leave_room_for_this_one() -> None:
    limit = ConnectionLimit(16)
    assert [limit.enter("10.0.0.1") for _ in range(5)] == [True] * 4 + [False], "a quarter for one"
    assert sum(limit.enter(f"10.0.1.{i}") for i in range(20)) == 8, "three quarters for all"
    assert sum(limit.enter("127.0.0.1") for _ in range(20)) == 4
    limit.leave("10.0.0.1")
    assert limit.enter("10.0.2.1")
    for _ in range(4):
        limit.leave("127.0.0.1")
    assert limit.enter("::1")


def test_accepting_ends_with_a_server_that_closed_at_once() -> None:
    listener = listen("127.0.0.1", 0)
    listener.close()
    accept_all(listener, threading.Event(), lambda connection, address: None, Troubles())


def test_accepting_goes_on_after_errors() -> None:
    """No file descriptor, an aborted connection, a handler that fails: the next connection is served."""
    closing, served = threading.Event(), list[object]()
    pair = socket.socketpair()
    events = [OSError(errno.EMFILE, "Too many open files"), ConnectionAbortedError(), TimeoutError(), "fails", "works"]

    class Listener:
        def settimeout(self, seconds: float) -> None:
            assert seconds > 0

        def fileno(self) -> int:
            return 3

        def accept(self) -> tuple[socket.socket, object]:
            event = events.pop(0)
            if isinstance(event, Exception):
                raise event
            return pair[event == "works"], event

    def serve(connection: socket.socket, address: object) -> None:
        served.append(address)
        if address == "fails":
            raise RuntimeError("can't start new thread")
        closing.set()

    troubles = Troubles()
    accept_all(Listener(), closing, serve, troubles)  # type: ignore[arg-type]
    assert served == ["fails", "works"]
    assert dict(troubles.counts) == {"connection not accepted": 2, "connection not served": 1}
    assert pair[0].fileno() < 0, "what is not served is closed"
    pair[1].close()


def test_sending_has_a_total_deadline() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0.05)
    with pytest.raises(TimeoutError):
        send_within(ours, bytes(50_000_000), 0.2)
    ours.close()
    theirs.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "::", ""])
def test_listening_works_in_both_families(host: str) -> None:
    try:
        listener = listen(host, 0)
    except OSError:
        pytest.skip(f"this machine cannot bind {host!r}")
    with listener:
        there = "::1" if ":" in host else "127.0.0.1"
        socket.create_connection((there, listener.getsockname()[1]), 5).close()
        if host == "::" and socket.has_dualstack_ipv6():
            socket.create_connection(("127.0.0.1", listener.getsockname()[1]), 5).close()


# -- the web -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:9002", ("127.0.0.1", 9002)),
        ("LocalHost:9002", ("localhost", 9002)),
        ("[::1]:9002", ("::1", 9002)),
        ("studio.local", ("studio.local", 80)),
        ("", None),
        ("::1:9002", None),
        ("[::1:9002", None),
        ("[127.0.0.1]:9002", None),
        ("[::1]evil.com:9002", None),
        ("user@127.0.0.1:9002", None),
        ("127.0.0.1:9002@evil.com", None),
        ("127.0.0.1:9002/", None),
        ("127.0.0.1:\uff19002", None),
        ("127.0.0.1:", None),
        ("127.0.0.1:-1", None),
        ("127.0.0.1:9002,evil.com", None),
        ("localhost\\evil.com:9002", None),
    ],
)
def test_hosts_are_read_strictly(text: str, parts: tuple[str, int] | None) -> None:
    assert host_and_port(text) == parts


def refused(
    *fields: tuple[str, str],
    query: str = "",
    peer: str = "127.0.0.1",
    local: str = "127.0.0.1",
    guesses: GuessLimiter | None = None,
) -> HTTPStatus | None:
    headers = Headers()
    for name, value in fields:
        headers[name] = value
    request = WebRequest(query, headers, peer, (local, PORT), {"studio.local"})
    refusal = web_refusal(request, TOKEN, guesses or GuessLimiter(Clock()))
    return refusal[0] if refusal else None


HERE = ("Host", "127.0.0.1:9002")
OWN = ("Origin", "http://127.0.0.1:9002")
BEARER = ("Authorization", "Bearer " + TOKEN.encode().decode("latin-1"))
QUERY = "token=s3cret-%C3%BC"


@pytest.mark.parametrize("host", ["127.0.0.1:9002", "localhost:9002", "LOCALHOST:9002", "127.0.0.2:9002"])
def test_programs_on_this_machine_need_no_token(host: str) -> None:
    assert refused(("Host", host)) is None
    assert refused(("Host", "[::1]:9002"), peer="::1", local="::1") is None
    assert refused(("Host", host), query="token=wrong") is None, "nor can a wrong one lock them out"


@pytest.mark.parametrize(
    "host",
    [
        "evil.com:9002",
        "evil.com",
        "127.0.0.1.evil.com:9002",
        "localhost.evil.com:9002",
        "evil-localhost:9002",
        "localhost.:9002",
        "127.0.0.1.:9002",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:9003",
        "127.1:9002",
        "2130706433:9002",
        "0x7f.0.0.1:9002",
        "0.0.0.0:9002",
        "[::]:9002",
        "10.0.0.1:9002",
        "other.local:9002",
    ],
)
def test_foreign_hosts_are_refused_even_with_the_token(host: str) -> None:
    """A page whose name an attacker points at this machine has its own name as Host."""
    assert refused(("Host", host)) == HTTPStatus.FORBIDDEN
    assert refused(("Host", host), BEARER) == HTTPStatus.FORBIDDEN
    assert refused(("Host", host), ("Origin", f"http://{host}"), BEARER) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("hosts", [[], ["127.0.0.1:9002", "127.0.0.1:9002"], ["127.0.0.1:9002", "evil.com"], [""]])
def test_there_is_exactly_one_host(hosts: list[str]) -> None:
    assert refused(*(("Host", host) for host in hosts), BEARER) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.com",
        "http://evil.com:9002",
        "http://localhost.evil.com:9002",
        "http://127.0.0.1.evil.com:9002",
        "http://127.0.0.1:9002.evil.com",
        "http://127.0.0.1:9002@evil.com",
        "http://127.0.0.1:8888",
        "http://127.0.0.1",
        "https://127.0.0.1:9002",
        "http://localhost:9002",
        "ws://127.0.0.1:9002",
        "file://",
        "chrome-extension://abcdef",
        "127.0.0.1:9002",
    ],
)
def test_foreign_pages_are_refused_even_with_the_token(origin: str) -> None:
    assert refused(HERE, ("Origin", origin)) == HTTPStatus.FORBIDDEN
    assert refused(HERE, ("Origin", origin), BEARER) == HTTPStatus.FORBIDDEN
    assert refused(HERE, OWN, ("Origin", origin), BEARER) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("site", ["cross-site", "same-site", "CROSS-SITE", "junk"])
def test_images_and_links_of_foreign_pages_are_refused(site: str) -> None:
    assert refused(HERE, ("Sec-Fetch-Site", site), query=QUERY) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "mark",
    [
        OWN,
        ("Sec-Fetch-Site", "none"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Referer", "http://127.0.0.1:9002/"),
        ("Sec-CH-UA", '"Chromium"'),
    ],
)
def test_browsers_always_need_the_token(mark: tuple[str, str]) -> None:
    assert refused(HERE, mark) == HTTPStatus.UNAUTHORIZED
    assert refused(HERE, mark, query="token=") == HTTPStatus.UNAUTHORIZED
    assert refused(HERE, mark, query="token=wrong") == HTTPStatus.UNAUTHORIZED
    assert (
        refused(HERE, mark, ("Authorization", "Basic " + TOKEN.encode().decode("latin-1"))) == HTTPStatus.UNAUTHORIZED
    )
    assert refused(HERE, mark, query=QUERY) is None
    assert refused(HERE, mark, query=f"VALUE&{QUERY}") is None
    assert refused(HERE, mark, BEARER) is None
    assert refused(HERE, mark, BEARER, query=QUERY) == HTTPStatus.BAD_REQUEST, "one token, not several to try"


def test_other_machines_always_need_the_token() -> None:
    there = {"peer": "192.168.1.9", "local": "192.168.1.5"}
    host = ("Host", "192.168.1.5:9002")
    assert refused(host, **there) == HTTPStatus.UNAUTHORIZED
    assert refused(host, BEARER, **there) is None
    assert refused(("Host", "studio.local:9002"), BEARER, **there) is None
    assert refused(("Host", "STUDIO.local:9002"), **there) == HTTPStatus.UNAUTHORIZED
    assert refused(HERE, BEARER, **there) == HTTPStatus.FORBIDDEN, "loopback is no name of this machine over there"
    assert refused(("Host", "192.168.1.5:9002"), peer="192.168.1.5", local="192.168.1.5") == HTTPStatus.UNAUTHORIZED
    assert refused(("Host", "192.168.1.6:9002"), BEARER, **there) == HTTPStatus.FORBIDDEN


def test_guesses_over_the_web_are_slowed_down_but_foreign_pages_use_up_none() -> None:
    guesses = GuessLimiter(Clock())
    for _ in range(100):
        assert refused(HERE, ("Origin", "http://evil.com"), query="token=x", guesses=guesses) == HTTPStatus.FORBIDDEN
        assert refused(HERE, ("Sec-Fetch-Site", "cross-site"), query="token=x", guesses=guesses) == HTTPStatus.FORBIDDEN
        assert refused(HERE, OWN, guesses=guesses) == HTTPStatus.UNAUTHORIZED
    assert refused(HERE, OWN, BEARER, guesses=guesses) is None
    for _ in range(limits.GUESSES_AT_ONCE):
        assert refused(HERE, OWN, query="token=x", guesses=guesses) == HTTPStatus.UNAUTHORIZED
    assert refused(HERE, OWN, BEARER, guesses=guesses) == HTTPStatus.TOO_MANY_REQUESTS
    assert refused(HERE, guesses=guesses) is None, "programs of this machine need no token, so they never wait"
