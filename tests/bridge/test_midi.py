"""MIDI to parameters: controllers of 7 and 14 bits, programs, running status, learning, the file."""

from __future__ import annotations

import threading
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.config import read_config, write_controls
from bridge.errors import BridgeError
from bridge.held import Held, Sensing
from bridge.host import BoardHost, InstrumentHost, as_message
from bridge.midi import Binding, MidiMap, MidiRouter, Parser, Program, open_port
from bridge.protocol import Event
from instruments import DDSP
from instruments.voices import VoiceAllocator
from neural_fx.errors import NeuralFXError
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import KlonGainStage
from neural_fx.processor import Spec
from tests.bridge.test_stream import settled
from tests.neural_fx.timbre.makers import timbre

BYTES, BYTES_16 = st.integers(0, 127), st.integers(0, 15)


def router(*controls: Binding, **more: object) -> MidiRouter:
    boards = {"lead": BoardHost("lead", lambda: Pedalboard([KlonGainStage()]))}
    return MidiRouter(boards, MidiMap(controls=list(controls), **more))  # type: ignore[arg-type]


MESSAGES = st.one_of(
    st.builds(lambda c, n, v: mido.Message("control_change", channel=c, control=n, value=v), BYTES_16, BYTES, BYTES),
    st.builds(lambda c, n: mido.Message("program_change", channel=c, program=n), BYTES_16, BYTES),
    st.builds(lambda c, p: mido.Message("pitchwheel", channel=c, pitch=p), BYTES_16, st.integers(-8192, 8191)),
    st.builds(lambda c, n, v: mido.Message("note_on", channel=c, note=n, velocity=v), BYTES_16, BYTES, BYTES),
)
GAIN = "lead/klon-gain-stage/input_gain_db"


def gain(made: MidiRouter) -> float:
    return float(str(made.boards["lead"].value("klon-gain-stage/input_gain_db")))


def test_controllers_span_the_range() -> None:
    made = router(Binding(cc=7, to=GAIN), Binding(cc=8, to="lead/mix", channel=3, low=1.0, high=0.5))
    for value, db in ((0, -60.0), (127, 60.0), (64, -60 + 120 * 64 / 127)):
        made.handle(mido.Message("control_change", control=7, value=value))
        assert gain(made) == pytest.approx(db)
    made.handle(mido.Message("control_change", control=8, value=127, channel=0))
    assert made.boards["lead"].value("mix") == 1.0
    made.handle(mido.Message("control_change", control=8, value=127, channel=2))
    assert made.boards["lead"].value("mix") == 0.5


def test_fourteen_bits() -> None:
    """Upper half, then lower; ends reached; a sender that only knows seven bits reaches them, too."""
    made = router(Binding(cc=1, to=GAIN, fine=True))

    def send(control: int, value: int) -> float:
        made.handle(mido.Message("control_change", control=control, value=value))
        return gain(made)

    assert send(1, 0) == -60
    assert send(1, 64) == pytest.approx(-60 + 120 * 8192 / 16383)
    assert send(33, 5) == pytest.approx(-60 + 120 * 8197 / 16383)
    assert send(33, 127) == pytest.approx(-60 + 120 * 8319 / 16383)
    assert send(1, 127) == pytest.approx(60)
    assert send(33, 0) == pytest.approx(-60 + 120 * 16256 / 16383)


def test_running_status_clock_and_notes() -> None:
    made = router(Binding(cc=7, to=GAIN))
    made.feed(bytes([0xB0, 7, 0xF8, 127, 7, 0]), "port")  # a clock in between, then running status
    assert gain(made) == -60
    made.feed(bytes([0xFE, 0x90, 60, 100, 0xB0, 7]), "port")
    made.feed(bytes([127]), "port")
    assert gain(made) == 60
    assert made.ignored == 3


@given(st.lists(MESSAGES, max_size=20), st.booleans())
def test_the_parser_reads_what_mido_writes(messages: list[mido.Message], running: bool) -> None:
    data, last = bytearray(), 0
    for message in messages:
        found = message.bytes()
        data += bytes(found[1:] if running and found[0] == last else found)
        last = found[0]
    assert list(Parser().feed(bytes(data))) == messages


@given(st.binary(max_size=200))
def test_any_bytes_are_harmless(data: bytes) -> None:
    for message in Parser().feed(data):
        assert message.bytes()


def test_learning_binds_the_next_controller(tmp_path: Path) -> None:
    path = tmp_path / "worker.yaml"
    path.write_text("boards: {lead: lead.yaml}\n")
    made = router(Binding(cc=20, to=GAIN))
    made.learned = lambda midi: write_controls(path, midi)
    made.learn(GAIN)
    made.handle(mido.Message("control_change", control=74, value=127, channel=1))
    assert gain(made) == 60
    assert read_config(path).midi.controls == [Binding(cc=74, to=GAIN, channel=2)]
    assert "lead.yaml" in path.read_text(), "the rest of the file stays"
    made.handle(mido.Message("control_change", control=20, value=0))
    assert gain(made) == 60, "the old controller is free"
    for wrong in ("solo/mix", "lead/klon-gain-stage/drive", "lead"):
        with pytest.raises(NeuralFXError):
            made.learn(wrong)


def test_programs_load_boards(tmp_path: Path) -> None:
    (tmp_path / "clean.yaml").write_text("board: 1\nslots:\n  - plugin: Chorus\n")
    programs = [
        Program(program=1, board="lead", file=tmp_path / "clean.yaml", channel=1),
        Program(program=2, board="lead", file=tmp_path / "missing.yaml"),
        Program(program=3, board="solo", file=tmp_path / "clean.yaml"),
    ]
    made = router(programs=programs)
    said: list[str] = []
    made.log = said.append
    made.handle(mido.Message("program_change", program=1, channel=1))
    made.handle(mido.Message("program_change", program=2))
    assert settled(lambda: any("cannot be read" in sentence for sentence in said))
    made.handle(mido.Message("program_change", program=3))
    assert any("no board 'solo'" in sentence for sentence in said)
    assert "klon-gain-stage/bypass" in made.boards["lead"].table()
    made.handle(mido.Message("program_change", program=1, channel=0))
    assert settled(lambda: "chorus/bypass" in made.boards["lead"].table())


def test_a_control_without_a_place_is_told() -> None:
    made = router(Binding(cc=7, to="lead/gone/gain"))
    said: list[str] = []
    made.log = said.append
    made.handle(mido.Message("control_change", control=7, value=1))
    assert "no slot 'gone'" in said[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("midi: {controls: [{cc: 200, to: lead/mix}]}", "midi.controls.0.cc"),
        ("midi: {controls: [{cc: 2, too: lead/mix}]}", "midi.controls.0"),
        ("midi: 3", "midi"),
        ("board: {}", "board"),
        ("[1]", "expected a mapping"),
        ("midi: [", "cannot be read"),
    ],
)
def test_wrong_maps_name_the_field(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "worker.yaml").write_text(text)
    with pytest.raises(BridgeError, match=words.replace(".", r"\.")):
        read_config(tmp_path / "worker.yaml")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "worker.yaml").write_text(
        "boards: {lead: lead.yaml}\nmedia: [stems]\nmidi: {programs: [{program: 1, board: lead, file: b.yaml}]}\n"
    )
    config = read_config(tmp_path / "worker.yaml")
    assert config.boards == {"lead": tmp_path / "lead.yaml"}
    assert (config.media, config.midi.programs[0].file) == ([tmp_path / "stems"], tmp_path / "b.yaml")


# -- live playing ------------------------------------------------------------------------------------------------

SILENCE = np.zeros((2, 480), np.float32)


class Stage:
    """An instrument on one stream, and a router that leads to it."""

    def __init__(self) -> None:
        self.host = InstrumentHost("solo", lambda: DDSP(timbre(spread=0), reverb=0))
        self.stream = self.host.open(Spec(48000, 2, 480))
        self.router = MidiRouter({"solo": self.host}, MidiMap())

    def feed(self, data: bytes, source: object = "keyboard") -> VoiceAllocator:
        """Send bytes, play a block, and return the voices."""
        self.router.feed(data, source)
        self.stream.process(SILENCE)
        allocator: VoiceAllocator = self.stream.voice.board.players[0]._performance.allocator  # type: ignore[union-attr]
        return allocator

    def held(self, data: bytes = bytes([0xF8]), source: object = "keyboard") -> list[int]:
        """The notes that are held after some bytes."""
        return sorted(voice.note for voice in self.feed(data, source).voices if voice.touch.held)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_sender_that_goes_away_releases_what_it_holds(stage: Stage) -> None:
    pedal, bend = bytes([0xB0, 64, 127]), bytes([0xE0, 0, 127])
    stage.held(bytes([0x90, 50, 90]), "another")
    assert stage.held(pedal + bend + bytes([0x90, 60, 90, 64, 90, 64, 0])) == [50, 60, 64]
    stage.router.release("keyboard")
    assert stage.held(b"", "clock") == [50], "the other sender's note goes on"
    allocator = stage.feed(bytes([0xF8]))
    assert allocator.channels[0].bend == 0
    assert not allocator.channels[0].sustain
    assert stage.held(bytes([62, 90])) == [50], "what is left of running status is gone, too"
    for sender in ("another", "nobody"):
        stage.router.release(sender)
        assert stage.held() == []


def test_senders_of_active_sensing_are_missed() -> None:
    now, gone = [0.0], []
    sensing = Sensing(gone.append, lambda: now[0])
    sensing._thread = threading.current_thread()  # checked by hand here
    note = mido.Message("note_on", note=60)
    sensing.hear("quiet", note)
    sensing.hear("piano", mido.Message("active_sensing"))
    now[0] = 50.0
    sensing.hear("piano", note)
    now[0] += 0.9 * limits.MIDI_SILENCE_SECONDS
    assert sensing.check()
    assert gone == []
    now[0] += 0.2 * limits.MIDI_SILENCE_SECONDS
    assert not sensing.check()
    assert gone == ["piano"]
    sensing.hear("piano", note)
    assert not sensing.check(), "no more watched until it sends active sensing again"


def test_an_unplugged_keyboard_is_released(stage: Stage) -> None:
    assert stage.held(bytes([0xFE, 0x90, 60, 90])) == [60]
    assert settled(lambda: stage.held(b"\xf8", "clock") == [])


@given(st.lists(MESSAGES, max_size=30))
def test_what_is_released_is_what_is_held(messages: list[mido.Message]) -> None:
    held, keys = Held(), set()
    for message in messages:
        held.follow(message)
        if message.type == "note_on":
            (keys.add if message.velocity else keys.discard)((message.channel, message.note))
        elif message.type == "control_change" and message.control in (120, 123):
            keys = {key for key in keys if key[0] != message.channel}
    released = held.release()
    assert {(m.channel, m.note) for m in released if m.type == "note_off"} == keys
    assert held.release() == []


def test_a_system_reset_reaches_instruments(stage: Stage) -> None:
    assert stage.held(bytes([0x90, 60, 90])) == [60]
    assert stage.held(bytes([0xFF])) == []


def test_real_time_bytes_and_system_messages_between_data_bytes(stage: Stage) -> None:
    assert stage.held(bytes([0x90, 0xF8, 60, 0xFE, 90, 0xFA, 64, 90])) == [60, 64]
    assert stage.held(bytes([0xF0, 1, 2, 0xF8, 3, 0xF7, 67, 90])) == [60, 64], "system exclusive ends running status"


def _rpn(stage: Stage, way: str) -> None:
    """Bend range 12 by live MIDI, OSC and the stream protocol."""
    for number, value in ((101, 0), (100, 0), (6, 12), (38, 0)):
        if way == "midi":
            stage.router.feed(bytes([0xB0, number, value]))
        elif way == "running status":
            stage.router.feed(bytes([0xB0, number, value] if number == 101 else [number, value]))
        elif way == "osc":
            stage.host.play(as_message("cc", (number, value)))
        else:
            stage.stream.process(SILENCE, [Event(7, midi=bytes([0xB0, number, value]))])


@pytest.mark.parametrize("way", ["midi", "running status", "osc", "stream"])
def test_a_bend_range_by_rpn(stage: Stage, way: str) -> None:
    _rpn(stage, way)
    allocator = stage.feed(bytes([0x90, 60, 90, 0xE0, 127, 127]))
    voice = next(voice for voice in allocator.voices if voice.note == 60)
    assert voice.touch.pitch == pytest.approx(72)


@pytest.mark.parametrize("way", ["midi", "stream"])
def test_a_note_on_before_the_note_off_of_its_key(stage: Stage, way: str) -> None:
    stage.held(bytes([0x90, 60, 90]))
    messages = [bytes([0x90, 60, 80]), bytes([0x80, 60, 0])]
    if way == "stream":
        stage.stream.process(SILENCE, [Event(100, midi=message) for message in messages])
        assert stage.held() == [60]
    else:
        assert stage.held(b"".join(messages)) == [60]
    assert stage.held(bytes([0x80, 60, 0])) == []


def test_messages_outlast_an_empty_block(stage: Stage) -> None:
    stage.stream.process(SILENCE[:, :0], [Event(0, midi=bytes([0x90, 60, 90]))])
    assert stage.held() == [60]


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("kind", ["note", "cc", "bend"])
def test_numbers_that_are_none_are_refused(kind: str, number: float) -> None:
    with pytest.raises(NeuralFXError, match="expected a finite number"):
        as_message(kind, (number,) if kind == "bend" else (number, 1))


@given(st.binary(max_size=12))
def test_any_midi_event_of_a_client_is_harmless(data: bytes) -> None:
    stage, said = Stage(), []
    stage.stream.failed = said.append
    stage.stream.process(SILENCE, [Event(3, midi=data)])
    assert not said


@pytest.mark.parametrize(
    ("names", "opened", "words"),
    [
        (EOFError(), None, "no MIDI ports: EOFError; pip install"),
        (["Piano 1"], OSError(), "'Piano 1' cannot be opened: OSError"),
        (["Piano 1"], OSError("it is in use"), "'Piano 1' cannot be opened: it is in use"),
        ([], None, "no MIDI port 'pia'; there is: none"),
    ],
)
def test_ports_that_do_not_open_say_why(
    monkeypatch: pytest.MonkeyPatch, names: object, opened: object, words: str
) -> None:
    def answer(value: object) -> object:
        if isinstance(value, Exception):
            raise value
        return value

    monkeypatch.setattr(mido, "get_input_names", lambda: answer(names))
    monkeypatch.setattr(mido, "open_input", lambda *args, **more: answer(opened))
    with pytest.raises(BridgeError, match=words):
        open_port("pia", router())
