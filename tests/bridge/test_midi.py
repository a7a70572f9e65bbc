"""MIDI to parameters: controllers of 7 and 14 bits, programs, running status, learning, the file."""

from __future__ import annotations

from pathlib import Path

import mido
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import read_config, write_controls
from bridge.errors import BridgeError
from bridge.hosting import BoardHost
from bridge.midi import Binding, MidiMap, MidiRouter, Parser, Program
from neural_fx.errors import NeuralFXError
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import KlonGainStage
from tests.bridge.test_stream import settled

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
