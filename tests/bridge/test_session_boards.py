"""Boards that clients bring along, and what a worker tells of its own: the DAW plugin's part of the protocol."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import pytest
import soundfile

import bridge
import neural_fx
from bridge.host import BoardHost, InstrumentHost, board_in, instrument_from
from bridge.media import Media
from bridge.protocol import Kind, pack, pack_audio, pack_json, unpack_audio
from bridge.stream_server import StreamServer, receive
from neural_fx.errors import BoardError
from neural_fx.pedals import TubeScreamer
from tests.conftest import noise

TEXT = """\
name: Mine
slots:
- pedal: tube-screamer
  set: {drive: 0.9}
macros:
- {name: Dirt, to: tube-screamer/drive}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StreamServer]:
    (tmp_path / "media").mkdir()
    boards = {
        "lead": BoardHost("lead", lambda: neural_fx.Pedalboard([TubeScreamer(drive=0.25)])),
        "violin": InstrumentHost("violin", instrument_from("violin")),
    }
    server = StreamServer(boards, media=Media([tmp_path / "media"]))
    yield server
    server.close()


def greet(server: StreamServer, **wish: Any) -> tuple[socket.socket, Kind, dict[str, Any]]:
    connection = socket.create_connection(("127.0.0.1", server.port), 20)
    hello = {"version": 1, "board": "", "sample_rate": 48000, "channels": 1, "block": 512, **wish}
    connection.sendall(pack_json(Kind.HELLO, hello))
    kind, _, payload = receive(connection)
    return connection, kind, json.loads(bytes(payload))


def play(connection: socket.socket, audio: np.ndarray) -> np.ndarray:
    connection.sendall(pack(Kind.BLOCK, pack_audio(audio), 1))
    kind, _, payload = receive(connection)
    assert kind is Kind.AUDIO
    return unpack_audio(payload)[0]


def test_a_client_without_a_name_gets_the_first_that_fits(server: StreamServer) -> None:
    for notes, board in ((False, "lead"), (True, "violin")):
        connection, kind, found = greet(server, notes=notes)
        assert kind is Kind.WELCOME
        assert found["board"] == board
        assert found["boards"] == {"lead": False, "violin": True}
        connection.close()


def test_the_welcome_says_macros_and_text(server: StreamServer) -> None:
    connection, _, found = greet(server, board="lead")
    assert found["macros"][0] == {"name": "Drive", "value": 0.25, "min": 0, "max": 1, "unit": ""}
    server.boards["lead"].set("tube-screamer/drive", 0.75)
    other, _, found = greet(server, board="lead")
    assert found["macros"][0]["value"] == 0.75
    board = board_in(found["text"], Media())()
    assert board[0].drive == 0.75  # type: ignore[union-attr]
    connection.close()
    other.close()


def test_a_board_of_the_clients_own(server: StreamServer) -> None:
    connection, kind, found = greet(server, board="mine", text=TEXT)
    assert kind is Kind.WELCOME
    assert [macro["name"] for macro in found["macros"]] == ["Dirt"]
    audio = noise(512)[None]
    wanted = TubeScreamer(drive=0.9)(audio, 48000)
    np.testing.assert_allclose(play(connection, audio), wanted, atol=1e-6)
    assert set(server.boards) == {"lead", "violin"}  # it is this client's alone
    connection.close()


def test_a_hosted_board_goes_before_the_text(server: StreamServer) -> None:
    connection, _, found = greet(server, board="lead", text=TEXT)
    assert found["macros"][0]["value"] == 0.25
    connection.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slots: [", "not valid YAML"),
        ("slots:\n- pedal: none-such", "none-such"),
        ("slots:\n- ir: /etc/passwd", "outside the folders"),
        ("slots:\n- ir: ../secret.wav", "outside the folders"),
        ("slots:\n- chain: [{vst3: /usr/lib/evil.vst3}]", "outside the folders"),
        ("slots:\n- timbre: /tmp/t.safetensors", "outside the folders"),
        ("slots:\n- {instrument: violin, morph_to: /tmp/t.safetensors}", "outside the folders"),
        ("slots:\n- model: link/amp.nam", "outside the folders"),
        ("", "no board 'mine'"),
    ],
)
def test_boards_that_are_refused(server: StreamServer, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "media" / "link").symlink_to("/")
    connection, kind, found = greet(server, board="mine", text=text)
    assert kind is Kind.REFUSE
    assert found["code"] == "board"
    assert said in found["reason"]
    connection.close()


def test_its_files_are_those_of_the_media_folders(server: StreamServer, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "media" / "half.wav", np.float32([0.5, 0]), 48000, subtype="FLOAT")
    connection, kind, _ = greet(server, board="mine", text="slots:\n- ir: half.wav\n")
    assert kind is Kind.WELCOME
    audio = noise(512)[None]
    cab = pedalboard.Convolution(str(tmp_path / "media" / "half.wav"))
    np.testing.assert_allclose(play(connection, audio), cab(audio, 48000), atol=1e-6)
    connection.close()


def test_nothing_is_allowed_without_media_folders(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="outside the folders"):
        board_in(f"slots:\n- ir: {tmp_path}/x.wav\n", Media())


def test_the_python_client_turns_macros(server: StreamServer) -> None:
    remote = bridge.connect(f"127.0.0.1:{server.port}", "lead")
    assert remote.macro_1 == 0.25
    remote.macro_1 = 0.5
    audio = noise(48000)
    out = remote(audio, 48000)
    wanted = TubeScreamer(drive=0.5)(audio, 48000)
    np.testing.assert_allclose(out[9600:], wanted[9600:], atol=1e-3)
    remote.close()
