import json

import mido
import numpy as np
import pytest
from typer.testing import CliRunner

from bridge.cli import app
from instruments import DDSP
from neural_fx.audio import read_audio, resample
from neural_fx.errors import NeuralFXError
from neural_fx.timbre import TIMBRES, TimbreTransfer, analyze, find_timbre, timbre_card
from neural_fx.timbre.analysis import RATE
from neural_fx.timbre.library import DATA
from tests.conftest import SHARED
from tests.neural_fx.timbre.makers import tone


@pytest.mark.parametrize("name", TIMBRES)
def test_files_and_cards(name):
    assert (DATA / f"{name}.safetensors").stat().st_size < 8e6
    card, timbre = timbre_card(name), find_timbre(name)
    assert timbre.name == name
    for field in ("licence", "data", "split", "measure"):
        assert len(card[field]) > 3
    own, random, sine = (card["held_out"][key] for key in ("timbre", "untrained", "sine"))
    assert own["spectral_loss"] < 0.5 * min(random["spectral_loss"], sine["spectral_loss"])
    assert own["within_50_cents"] >= 0.99
    assert own["seconds"] > 30


@pytest.mark.parametrize("name", TIMBRES)
def test_plays_in_tune_in_its_register(name):
    habits = find_timbre(name).habits
    middle = round(69 + 12 * np.log2(np.sqrt(habits.low_hz * habits.high_hz) / 440))
    for note in (middle - 5, middle, middle + 7):
        audio = DDSP(name)([mido.Message("note_on", note=note, velocity=90, time=0)], 1.5, RATE)[0]
        found = analyze(audio, RATE, "live")
        cents = 1200 * np.log2(found.f0_hz[75:340] / (440 * 2 ** ((note - 69) / 12)))
        assert abs(np.median(cents)) < 10
        assert found.confidence[75:340].mean() > 0.9
        assert -50 < found.loudness_db[200] < 0


@pytest.mark.parametrize("name", TIMBRES)
def test_louder_notes_are_louder(name):
    levels = []
    for velocity in (15, 45, 75, 105, 127):
        audio = DDSP(name, vibrato=0)([mido.Message("note_on", note=69, velocity=velocity, time=0)], 0.8, RATE)[0]
        levels.append(analyze(audio, RATE, "live").loudness_db[100:180].mean())
    assert (np.diff(levels) > 0).all()


@pytest.mark.parametrize("name", TIMBRES)
@pytest.mark.parametrize("phrase", ["singing-female", "sax-phrase-short"])
def test_transfer_keeps_pitch_and_loudness(name, phrase):
    path = SHARED / f"audio/phrases/{phrase}.flac"
    if not path.exists():
        pytest.skip("no shared audio")
    audio, rate = read_audio(path)
    signal = resample(audio, rate, RATE).mean(0)
    out = TimbreTransfer(name, adjust=0)(signal, RATE)
    before, after = analyze(signal, RATE, "live"), analyze(out, RATE, "live")
    played = (before.confidence > 0.9) & (before.loudness_db > before.loudness_db.max() - 40)
    octaves = np.log2(after.f0_hz[played] / before.f0_hz[played])
    assert np.mean(np.abs(octaves) < 0.5 / 12) > 0.97
    assert np.corrcoef(before.loudness_db[played], after.loudness_db[played])[0, 1] > 0.95


def test_list():
    cards = json.loads(CliRunner().invoke(app, ["timbres", "--json"]).stdout)
    assert [card["name"] for card in cards] == list(TIMBRES)
    table = CliRunner().invoke(app, ["timbres"]).output
    assert all(name in table for name in TIMBRES)
    with pytest.raises(NeuralFXError, match="bundled"):
        timbre_card("kazoo")


def test_render_with_a_timbre(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "in.wav", tone(330, 0.5), RATE)
    out = tmp_path / "out.wav"
    done = CliRunner().invoke(
        app, ["render", str(tmp_path / "in.wav"), "--timbre", "violin", "--set", "octave=1", "-o", str(out)]
    )
    assert done.exit_code == 0, done.output
    audio, _ = soundfile.read(out)
    found = analyze(audio, RATE, "live")
    assert np.median(found.f0_hz[30:-30]) == pytest.approx(660, rel=0.01)


def test_in_a_board_file(tmp_path):
    from neural_fx import Pedalboard

    path = tmp_path / "b.yaml"
    path.write_text("slots:\n- {timbre: violin, morph_to: cello, set: {morph: 0.5, octave: -1}}\n")
    board = Pedalboard.from_file(path)
    assert board[0].octave == -1
    board.save(tmp_path / "again.yaml")
    again = Pedalboard.from_file(tmp_path / "again.yaml")
    signal = tone(440, 0.3)
    assert np.array_equal(board(signal, RATE), again(signal, RATE))
    path.write_text("slots:\n- {timbre: kazoo}\n")
    with pytest.raises(NeuralFXError, match=r"line 2.*bundled"):
        Pedalboard.from_file(path)
