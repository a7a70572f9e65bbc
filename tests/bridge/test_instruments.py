import time

import mido
import numpy as np
import pytest

from bridge.config import read_config
from bridge.errors import BridgeError
from bridge.host import InstrumentHost
from bridge.media import Media
from bridge.midi import Keys, MidiMap, MidiRouter
from bridge.osc.packets import Message
from bridge.osc.query import QueryServer
from bridge.osc.server import OscServer
from bridge.osc.tree import Tree
from bridge.protocol import Event
from bridge.worker import Options, Worker
from instruments import DDSP
from neural_fx.errors import NeuralFXError
from neural_fx.processor import Spec
from neural_fx.timbre.files import timbre_bytes
from tests.neural_fx.timbre.makers import timbre

RATE = 48000
EVEN = timbre(spread=0)
SILENCE = np.zeros((2, 480), np.float32)


@pytest.fixture
def host():
    return InstrumentHost("solo", lambda: DDSP(EVEN, reverb=0))


@pytest.fixture
def said():
    return []


@pytest.fixture
def tell(host, said):
    tree = Tree({"solo": host}, Media(()))

    def tell(address, *arguments, when=0.0):
        tree.handle(Message(address, arguments, when), lambda *reply: said.append(reply))

    return tell


def played(stream, blocks=20):
    return np.concatenate([stream.process(SILENCE) for _ in range(blocks)], 1)[0]


def test_notes_sound_and_end(host, tell):
    stream = host.open(Spec(RATE, 2, 480))
    assert not played(stream).any()
    tell("/solo/note", 69, 100)
    assert np.abs(played(stream)).max() > 1e-3
    tell("/solo/note", 69.0, 0.0)  # as Max and TouchOSC send numbers
    played(stream, 100)
    assert not played(stream).any()


def test_a_bundle_of_the_future_plays_to_the_sample(host, tell):
    stream = host.open(Spec(RATE, 2, 480))
    played(stream, 1)
    tell("/solo/note", 69, 100, when=stream.schedule.now + 0.025)
    audio = played(stream, 6)
    first = np.flatnonzero(audio)[0]
    assert abs(first - 1200) <= 2


def test_bend_cc_panic_and_parameters(host, tell, said):
    stream = host.open(Spec(RATE, 2, 480))
    tell("/solo/note", 69, 100)
    tell("/solo/bend", 1.0)
    tell("/solo/cc", 1, 127)
    played(stream, 50)
    allocator = stream.voice.board.player._performance.allocator
    assert allocator.channels[0].bend == 1
    assert allocator.channels[0].controls[1] == 1
    tell("/solo/vibrato", 2.0)
    tell("/solo/breath/raw", 0.5)
    tell("/solo/vibrato")
    tell("/solo/breath")
    assert said == [("/solo/vibrato", 2.0), ("/solo/breath", 2.0)]
    tell("/solo/panic")
    played(stream, 150)
    assert not played(stream).any()


@pytest.mark.parametrize(
    ("address", "arguments", "words"),
    [
        ("/solo/note", (60,), "expected 2 numbers"),
        ("/solo/note", (200, 1), "0 to 127"),
        ("/solo/note", ("a", 1), "expected 2 numbers"),
        ("/solo/bend", (3.0,), "outside"),
        ("/solo/load", ("x.yaml",), "instrument"),
        ("/solo/vibrat", (1.0,), "vibrato"),
        ("/solo/vibrato", (99.0,), "range"),
    ],
)
def test_errors_are_sentences(tell, said, address, arguments, words):
    tell(address, *arguments)
    assert said[0][:2] == ("/error", address)
    assert words in said[0][2]


def test_client_events_play_at_their_offset(host):
    stream = host.open(Spec(RATE, 2, 480))
    audio = stream.process(SILENCE, [Event(100, midi=bytes([0x90, 60, 90])), Event(5, midi=b"\x90")])
    assert not audio[:, :100].any()
    assert audio[:, 101:].any()


def test_midi_reaches_instruments_by_channel(host):
    other = InstrumentHost("other", lambda: DDSP(EVEN))
    router = MidiRouter({"solo": host, "other": other}, MidiMap(keys=[Keys(instrument="other", channel=2)]))
    streams = [h.open(Spec(RATE, 2, 480)) for h in (host, other)]
    router.handle(mido.Message("note_on", note=60, channel=0))
    assert [np.abs(played(s)).max() > 0 for s in streams] == [True, False]
    router.handle(mido.Message("note_on", note=60, channel=1))
    assert np.abs(played(streams[1])).max() > 0
    router.feed(bytes([0x90, 64, 90]), "other")  # its own port: whatever the channel
    assert sum(v.key_down for v in streams[1].voice.board.player._performance.allocator.voices) <= 1
    played(streams[1])
    assert sum(v.key_down for v in streams[1].voice.board.player._performance.allocator.voices) == 2


def test_streams_of_one_instrument_keep_their_own_notes(host):
    first, second = (host.open(Spec(RATE, 2, 480)) for _ in range(2))
    first.process(SILENCE, [Event(0, midi=bytes([0x90, 60, 90]))])
    assert played(first).any()
    assert not played(second).any()


def test_oscquery_shows_how_to_play(host):
    server = OscServer(Tree({"solo": host}, Media(())), port=0, reply_port=9)
    query = QueryServer(server, 0, announce=False)
    try:
        node = query.node("/solo/note")
        assert node["TYPE"] == "ii"
        assert query.node("/solo/vibrato")["RANGE"] == [{"MIN": 0, "MAX": 4}]
        assert query.node("/solo")["DESCRIPTION"] == "an instrument"
    finally:
        query.close()
        server.close()


def test_worker_hosts_instruments(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("instruments: {solo: violin}\nmidi: {keys: [{instrument: solo, channel: 3}]}\n")
    file = read_config(config)
    options = Options({}, osc_port=0, stream_port=0, oscquery_port=0, announce=False, instruments=file.instruments)
    worker = Worker(options)
    try:
        assert list(worker.boards) == ["solo"]
        assert worker.status()[0]["board"] == "solo"
    finally:
        worker.close()
    with pytest.raises(BridgeError, match="lower case"):
        Worker(Options({}, osc_port=0, stream_port=0, oscquery_port=0, announce=False, instruments={"So lo": "violin"}))


def test_a_client_plays_over_the_network(tmp_path):
    from bridge.client import connect
    from bridge.stream_server import StreamServer

    host = InstrumentHost("solo", lambda: DDSP(EVEN, reverb=0))
    server = StreamServer({"solo": host})
    try:
        board = connect(f"127.0.0.1:{server.port}", board="solo")
        assert not board(SILENCE, RATE, reset=False).any()
        deadline = time.monotonic() + 5
        host.play(mido.Message("note_on", note=60, velocity=100))
        heard = 0.0
        while heard == 0 and time.monotonic() < deadline:
            heard = float(np.abs(board(SILENCE, RATE, reset=False)).max())
        assert heard > 0
        board.reset()
        board.send(mido.Message("note_on", note=60, velocity=100), offset=100)
        out = board(SILENCE, RATE, reset=False)
        assert not out[:, :100].any()
        assert out.any()
        board.close()
    finally:
        server.close()


def test_a_board_with_an_instrument_and_effects_plays_notes(tmp_path, said):
    from bridge.host import BoardHost, board_from

    path = tmp_path / "solo.yaml"
    path.write_text("slots:\n- {instrument: violin, set: {breath: 0.5}}\n- {plugin: Gain, set: {gain_db: -6}}\n")
    host = BoardHost("lead", board_from(path))
    tree = Tree({"lead": host}, Media(()))
    stream = host.open(Spec(RATE, 2, 480))
    tree.handle(Message("/lead/note", (60, 100)), lambda *reply: said.append(reply))
    assert np.abs(played(stream)).max() > 1e-3
    tree.handle(Message("/lead/instrument-player/breath", ()), lambda *reply: said.append(reply))
    assert said == [("/lead/instrument-player/breath", 0.5)]
    host.save(tmp_path / "again.yaml")
    assert "instrument: violin" in (tmp_path / "again.yaml").read_text()
    mine = timbre_bytes(EVEN.decoder.shape, EVEN.decoder.w, EVEN.reverb, EVEN.habits, {"name": "mine"})
    (tmp_path / "mine.safetensors").write_bytes(mine)
    path.write_text("slots:\n- {instrument: mine.safetensors}\n- {timbre: mine.safetensors}\n")
    board = board_from(path)()
    board.save(tmp_path / "third.yaml")
    assert "instrument: mine.safetensors" in (tmp_path / "third.yaml").read_text()
    path.write_text("slots:\n- {instrument: kazoo}\n")
    with pytest.raises(NeuralFXError, match=r"line 2.*bundled"):
        board_from(path)()
