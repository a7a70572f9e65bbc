"""`docs/extending/instruments.md` as its reader follows it: Python, command line, board file, worker, OSC and MIDI."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from instruments import DDSP, FAMILIES, open_instrument, sound_names
from neural_fx.errors import NeuralFXError
from tests.extending.pages import Installed, Page

PAGE = "instruments.md"

WORKER = """
import time
import numpy as np
import mido
import bridge
from bridge.osc.packets import encode
from bridge.worker import Options, Worker
import socket

options = Options({}, instruments={"lead": "sine-wave"}, osc_port=0, stream_port=0, oscquery_port=0, announce=False)
worker = Worker(options)
try:
    lead = bridge.connect(f"127.0.0.1:{worker.streams.port}", "lead")
    silence = np.zeros((1, 4800), np.float32)
    assert not lead.process(silence, 48000, reset=False).any()
    lead.send(mido.Message("note_on", note=69, velocity=100))
    assert lead.process(silence, 48000, reset=False).any()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(encode("/lead/drive", 12.0), ("127.0.0.1", worker.osc.port))
    limit = time.monotonic() + 60
    while worker.boards["lead"].value("drive") != 12 and time.monotonic() < limit:
        time.sleep(0.01)
    assert worker.boards["lead"].value("drive") == 12
    node = worker.query.node("/lead/drive")
    assert node["RANGE"] == [{"MIN": 0, "MAX": 24}] and node["UNIT"] == ["dB"], node
    worker.router.feed(bytes([0x90, 60, 100]), "lead", 0)
    print("played")
finally:
    worker.close()
"""


def test_the_example_plays_from_python(page: Page, installed: Installed) -> None:
    (example,) = page.examples
    done = installed.python(example)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_plays_from_the_command_line(page: Page, installed: Installed, tmp_path: Path) -> None:
    song = mido.MidiFile()
    song.tracks.append(mido.MidiTrack([mido.Message("note_on", note=69), mido.Message("note_off", note=69, time=480)]))
    song.save(tmp_path / "song.mid")
    soundfile.write(tmp_path / "stem.wav", np.zeros(4800, np.float32), 48000)
    outputs = []
    for line in page.commands:
        program, *arguments = line.split()
        assert program == "neural-fx"
        if arguments[0] == "serve":
            continue
        done = installed.command(arguments)
        assert done.returncode == 0, (line, done.stderr)
        outputs.append(done.stdout + done.stderr)
    assert "sine-wave, square-wave" in outputs[0]
    played, rate = soundfile.read(tmp_path / "song.wav")
    assert rate == 48000
    assert np.abs(played).max() > 0.05
    assert len(soundfile.read(tmp_path / "out.wav")[0]) == 4800


def test_the_example_is_written_back_to_a_board_file(installed: Installed) -> None:
    code = (
        "import instruments, neural_fx\n"
        "board = neural_fx.Pedalboard.from_file('lead.yaml')\n"
        "board.save('again.yaml')\n"
        "again = neural_fx.Pedalboard.from_file('again.yaml')\n"
        "print(again[0].instrument.sound, again[0].drive)"
    )
    done = installed.python(code)
    assert (done.stdout, done.stderr) == ("sine-wave 12.0\n", "")


def test_a_worker_hosts_the_example(page: Page, installed: Installed) -> None:
    """Streams with notes, values over OSC, ranges in OSCQuery, notes from a MIDI port."""
    assert "neural-fx serve --instrument lead=sine-wave" in page.commands
    done = installed.python(WORKER)
    assert (done.returncode, done.stdout) == (0, "played\n"), done.stderr


def test_sounds_are_found_by_name_family_and_file(tmp_path: Path) -> None:
    assert isinstance(open_instrument("violin"), DDSP)
    assert open_instrument("ddsp:flute", vibrato=2).sound == "flute"
    assert sound_names()[0] == "violin"
    assert FAMILIES["ddsp"].card("violin")["name"] == "violin"
    (tmp_path / "text.txt").write_text("no instrument")
    (tmp_path / "packed.zip").write_bytes(b"PK\x03\x04 and so on")
    for sound, words in [
        ("violni", "did you mean 'violin'"),
        ("ddsp:violni", "did you mean violin"),
        ("there.safetensors", "no such file"),
        (tmp_path, "is a folder, not an instrument's file"),
        (tmp_path / "text.txt", "not the file of an instrument; known families: ddsp"),
        (tmp_path / "packed.zip", "is a zip archive; unpack it first"),
    ]:
        with pytest.raises(NeuralFXError, match=words):
            open_instrument(sound)
