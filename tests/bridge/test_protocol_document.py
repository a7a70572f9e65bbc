"""The protocol's document is complete and true: a client was written from it alone, and its tables agree."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import pytest

import bridge
from bridge import limits, protocol
from bridge.host import BoardHost
from bridge.protocol import HEADER, Event, Hello, Kind, Refusal, limit, unpack_audio, unpack_header, unpack_hello
from bridge.stream_server import StreamServer, receive
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import TubeScreamer
from tests.bridge.test_stream import hello, raw
from tests.conftest import noise

DOCUMENT = (Path(bridge.__file__).parent / "PROTOCOL.md").read_text()
CLIENT = Path(__file__).parent / "document_client.mjs"


@pytest.fixture
def worker() -> Iterator[StreamServer]:
    server = StreamServer(
        {"lead": BoardHost("lead", lambda: Pedalboard([TubeScreamer(drive=0.3), pedalboard.Gain(-6)]))}
    )
    yield server
    server.close()


def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("needs Node.js, for the client that was written from the document (Debian: apt-get install nodejs)")
    return found


def by_node(port: int, plan: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the samples of all AUDIOs, one after another, and what the client was told."""
    done = subprocess.run(
        [node(), CLIENT, str(port)], input=json.dumps(plan).encode(), capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, "<f4"), json.loads(done.stderr)


def planned(parts: list[np.ndarray], events: dict[int, list[Event]], **more: object) -> dict[str, Any]:
    channels = parts[0].shape[0]
    wish = {"version": 1, "board": "lead", "sample_rate": 48000, "channels": channels, "block": 512, **more}
    blocks = [
        {
            "channels": part.tolist(),
            "events": [
                {"frame": e.offset, "address": e.address, "value": e.value, "midi": list(e.midi)}
                for e in events.get(i, [])
            ],
        }
        for i, part in enumerate(parts)
    ]
    return {"hello": wish, "blocks": blocks}


# -- a client from the document --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [48000, 44100])
def test_a_client_from_the_document_hears_what_the_python_client_hears(worker: StreamServer, rate: int) -> None:
    parts = np.split(noise(3000).reshape(2, -1), [10, 100, 612, 1100], axis=1)
    events = {
        1: [Event(0, "tube-screamer/drive", 0.9), Event(40, "gain/gain_db", -12.0)],
        3: [Event(200, "mix", 0.5), Event(7, "gain/gain_db", 3.0), Event(200, "mix", 0.25)],
    }
    remote = bridge.connect(f"127.0.0.1:{worker.port}", "lead")
    wanted = []
    for i, part in enumerate(parts):
        for n, event in enumerate(events.get(i, [])):
            remote._events._waiting["test", i, n] = event
        wanted.append(remote.process(part, rate, 512, reset=False))
    heard, told = by_node(worker.port, planned(parts, events, sample_rate=rate))
    blocks = np.split(heard, np.cumsum([part.size for part in parts])[:-1])
    found = np.concatenate([block.reshape(2, -1) for block in blocks], axis=1)
    latency = told["welcome"]["latency"]
    np.testing.assert_array_equal(found[:, latency:], np.concatenate(wanted, axis=1))
    assert told["notices"] == []
    assert told["pong"] == [Kind.PONG, 9, "there?"]
    assert told["reset"] == [Kind.RESET, 10, {"latency": latency}]


def test_a_client_from_the_document_learns_of_refused_events(worker: StreamServer) -> None:
    events = {0: [Event(0, "gian/gain_db", 1.0), Event(0, "gian/gain_db", 2.0), Event(3, midi=bytes([0x90, 60, 90]))]}
    part = noise(64)[None]
    heard, told = by_node(worker.port, planned([part], events))
    quiet, _ = by_node(worker.port, planned([part], {}))
    np.testing.assert_array_equal(heard, quiet)
    assert sorted(notice["address"] for notice in told["notices"]) == ["", "gian/gain_db"]
    assert any("did you mean 'gain'?" in notice["problem"] for notice in told["notices"])


# -- its tables ----------------------------------------------------------------------------------------------------


def section(title: str) -> str:
    return re.split(r"^## ", DOCUMENT.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


def tables(title: str) -> list[list[dict[str, str]]]:
    """Return the tables of a section: rows by the heads of their columns."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", section(title), flags=re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


def names(table: list[dict[str, str]], column: str = "field") -> list[str]:
    return [row[column].strip("`") for row in table]


SIZES = {"uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8, "float64": 8}


def check_offsets(table: list[dict[str, str]], size: int) -> None:
    """Check that the fixed fields follow each other without a gap and have a size in all."""
    at = 0
    for row in table:
        if not row["bytes"].isdecimal():
            break
        assert int(row["offset"]) == at
        assert SIZES.get(row["type"], int(row["bytes"])) == int(row["bytes"])
        at += int(row["bytes"])
    assert at == size


def test_the_header() -> None:
    header, kinds = tables("Messages")
    check_offsets(header, HEADER.size)
    assert {int(row["kind"]): row["name"] for row in kinds} == {kind.value: kind.name for kind in Kind}
    assert {row["name"]: int(row["most bytes"]) for row in kinds} == {kind.name: limit(kind) for kind in Kind}
    assert f"header of {HEADER.size} bytes" in section("Messages")


def test_the_block() -> None:
    block, event = tables("BLOCK and AUDIO")
    check_offsets(block, protocol._COUNTS.size)
    check_offsets(event, protocol._EVENT.size)
    assert f"0 to {limits.PROTOCOL_EVENTS}" in block[2]["field"]
    empty = protocol.pack_audio(np.zeros((1, 0), np.float32))
    assert f"byte {len(empty)} of an AUDIO's payload" in section("BLOCK and AUDIO")


def test_the_fields_of_hello() -> None:
    (table,) = tables("HELLO")
    assert set(names(table)) == set(Hello.__dataclass_fields__)
    ranges = {row["field"].strip("`"): row["meaning"] for row in table}
    assert ranges["channels"].endswith(f"1 to {limits.PROTOCOL_CHANNELS}")
    assert ranges["block"].endswith(f"1 to {limits.PROTOCOL_FRAMES}")
    assert ranges["version"] == str(protocol.VERSION)
    for row in table:
        if not row["meaning"].startswith("optional"):
            payload = json.loads(hello()[HEADER.size :])
            del payload[row["field"].strip("`")]
            with pytest.raises(protocol.ProtocolError):
                unpack_hello(json.dumps(payload).encode())


def test_the_fields_of_the_answers(worker: StreamServer) -> None:
    with raw(worker) as connection:
        connection.sendall(hello(board="lead"))
        welcome = json.loads(bytes(receive(connection)[2]))
        connection.sendall(protocol.pack(Kind.RESET))
        reset = json.loads(bytes(receive(connection)[2]))
        block = protocol.pack_audio(np.zeros((1, 4), np.float32), [Event(0, "nothing/here", 1.0)])
        connection.sendall(protocol.pack(Kind.BLOCK, block, 1))
        notice = json.loads(bytes(receive(connection)[2]))
        assert receive(connection)[0] is Kind.AUDIO
        connection.sendall(protocol.pack(Kind.AUDIO))
        refusal = json.loads(bytes(receive(connection)[2]))
    assert set(names(tables("WELCOME")[0])) == set(welcome)
    assert set(names(tables("RESET")[0])) == set(reset)
    assert set(names(tables("NOTICE")[0])) == {"latency", *notice}
    fields, codes = tables("REFUSE")
    assert set(names(fields)) == set(refusal)
    assert names(codes, "code") == [value for name, value in vars(Refusal).items() if name.isupper()]
    for title in ("REFUSE", "NOTICE"):
        assert f"at most {limits.PROTOCOL_REASON_CHARACTERS} characters" in section(title)


def test_the_limits() -> None:
    (table,) = tables("Limits and deadlines")
    assert [int(row["value"].removesuffix(" s")) for row in table] == [
        limits.STREAM_HANDSHAKE_SECONDS,
        limits.STREAM_MESSAGE_SECONDS,
        limits.STREAM_IDLE_SECONDS,
        limits.STREAM_SEND_SECONDS,
        limits.STREAM_CLIENTS,
        limits.STREAM_GREETINGS,
    ]
    assert f"port {protocol.PORT}" in DOCUMENT
    assert f"0 to {limits.PROTOCOL_LATENCY_SAMPLES}" in section("WELCOME")


def example(name: str) -> bytes:
    text = DOCUMENT.split(f"```{name}\n")[1].split("```")[0]
    return bytes.fromhex("".join(re.split(r" {2,}", line)[0] for line in text.splitlines()))


def test_the_example() -> None:
    greeting = example("hello")
    kind, length, _ = unpack_header(greeting[: HEADER.size])
    assert (kind, length) == (Kind.HELLO, len(greeting) - HEADER.size)
    assert greeting[HEADER.size :] == DOCUMENT.split("```json\n")[1].split("\n```")[0].encode()
    assert unpack_hello(greeting[HEADER.size :]) == Hello("lead", 48000, 1, 4)
    for name, samples, events in (("block", [0.5, -0.5], [Event(1, "mix", 0.25)]), ("audio", [0.5, -0.25], [])):
        message = example(name)
        assert unpack_header(message[: HEADER.size]) == (Kind[name.upper()], len(message) - HEADER.size, 7)
        audio, found = unpack_audio(message[HEADER.size :])
        np.testing.assert_array_equal(audio, np.float32([samples]))
        assert found == events
