"""The latent instrument as a family: presets, the map, random timbres, presets from notes, boards, OSC and songs."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from bridge.cli import app
from bridge.host import InstrumentHost
from bridge.media import Media
from bridge.osc.packets import Message
from bridge.osc.tree import Tree
from instruments import DDSP, FAMILIES, Latent, open_instrument, sound_names
from instruments.families import family_of
from instruments.general_midi import PROGRAMS, sound_name
from instruments.latent.files import LatentFile, save_network
from instruments.latent.library import latent_card, preset_names
from instruments.latent.network import LatentNetwork
from instruments.latent.presets import read_preset
from instruments.latent.recording import recorded
from instruments.latent.timbres import random_timbre
from neural_fx.boards import load_board, save_board
from neural_fx.errors import AudioError, ModelError, NeuralFXError, ParameterError
from neural_fx.processor import Spec
from tests.instruments.latent.test_network import random_weights
from tests.instruments.makers import off, on

RATE = 48000
NOTE = (on(60, 0.0, 90), off(60, 0.2))


def sound(instrument: Latent, seconds: float = 0.25) -> np.ndarray:
    return instrument(NOTE, seconds, RATE, 1)[0]


# -- presets -------------------------------------------------------------------------------------------------------


def test_every_program_of_general_midi_is_a_preset() -> None:
    assert list(preset_names()) == [sound_name(program) for program in range(len(PROGRAMS))]
    assert FAMILIES["latent"].sounds() == preset_names()
    marimba = open_instrument("marimba", z1=0.5)
    assert isinstance(marimba, Latent)
    assert (marimba.sound, marimba.z1) == ("marimba", 0.5)
    assert family_of(marimba) is FAMILIES["latent"]
    assert np.abs(sound(marimba)).max() > 0.01


def test_timbres_keep_their_names_and_the_family_tells_both_apart() -> None:
    assert isinstance(open_instrument("violin"), DDSP)
    assert isinstance(open_instrument("latent:violin"), Latent)
    assert len(sound_names()) == len(set(sound_names()))


def test_errors_suggest_a_name_and_list_some() -> None:
    for name in ("marinba", "latent:marinba"):
        with pytest.raises(NeuralFXError, match=r"did you mean 'marimba'\?.*and 1\d\d more"):
            open_instrument(name)
    with pytest.raises(ParameterError, match="z17"):
        Latent("marimba", z17=1.0)
    with pytest.raises(ParameterError, match="morph_preset: 129 is outside its range 0 to 128"):
        Latent("marimba", morph_preset=129)


def test_any_number_of_presets_and_timbre_sizes(tmp_path: Path) -> None:
    for count in (0, 1, 2, 3, 5):
        names = [f"p{i}" for i in range(count)]
        rng = np.random.default_rng(count)
        file = LatentFile(LatentNetwork(random_weights()), {name: rng.normal(0, 1, 4) for name in names})
        assert list(Latent.map(file)) == (names if count >= 3 else [])
        for name in names:
            made = Latent(name, file)
            assert {"z1", "z4"} <= set(made.parameters)
            assert "z5" not in made.parameters
            np.testing.assert_allclose(made.timbre, file.presets[name], atol=1e-12)
        assert random_timbre(file.presets, 4, 1).shape == (4,)
    with pytest.raises(NeuralFXError, match="no presets"):
        Latent.random(1, LatentFile(LatentNetwork(random_weights())))
    save_network(tmp_path / "own.safetensors", file.network, file.presets)
    assert Latent("p3", tmp_path / "own.safetensors").preset == "p3"


def test_the_map_leads_to_every_preset() -> None:
    marimba = Latent("marimba")
    positions = Latent.map()
    assert positions["marimba"] == pytest.approx((marimba.x, marimba.y))
    for name in ("vibraphone", "gunshot", "acoustic-grand-piano"):
        marimba.x, marimba.y = positions[name]
        np.testing.assert_allclose(marimba.timbre, Latent(name).timbre, atol=1e-6)
    assert all(abs(place) <= marimba.parameters["x"].maximum for both in positions.values() for place in both)


def test_morphs_reach_the_second_preset_by_name_and_by_number() -> None:
    expected = sound(Latent("vibraphone"))
    number = list(preset_names()).index("vibraphone") + 1
    for made in (
        Latent("marimba", morph_to="vibraphone", morph=1),
        Latent("marimba", morph_preset=number, morph=1),
    ):
        assert made.morph_to == "vibraphone"
        np.testing.assert_allclose(sound(made), expected, atol=1e-6)
    made.morph_to = "flute"
    assert made.morph_preset == 74
    made.morph_to = None
    np.testing.assert_allclose(made.timbre, Latent("marimba").timbre)


def test_everything_moves_smoothly_while_a_note_sounds() -> None:
    made = Latent("church-organ", morph_to="flute", voices=8)
    moves = {"morph": 1.0, "morph_preset": 41, "x": 1.0, "y": -1.0, "z3": 1.5, "seed": 7, "loudness_db": -6}
    made([on(60, 0.0)], 0.3, RATE, 1)
    before = made([], 0.1, RATE, 1, reset=False)[0]
    step = np.abs(np.diff(before)).max()
    for name, value in moves.items():
        made.set_parameter(name, value)
        after = made([], 0.04, RATE, 1, reset=False)[0]
        joined = np.concatenate((before[-10:], after[:10]))
        # A jump would be as large as the wave itself.
        assert np.abs(np.diff(joined)).max() < 1.5 * max(step, np.abs(np.diff(after)).max() / 2), name
        before = after
        step = np.abs(np.diff(before)).max()
    assert not np.allclose(made.timbre, Latent("church-organ").timbre)


def test_seeds_are_timbres() -> None:
    first, again, other = Latent.random(7), Latent("marimba", seed=7), Latent.random(8)
    assert first.sound == "random-7"
    np.testing.assert_array_equal(first._random[1] if first.targets() else 0, again.targets().first)
    assert not np.allclose(first.timbre, other.timbre, atol=0.1)
    again.seed = 0
    np.testing.assert_allclose(again.timbre, Latent("marimba").timbre)
    with pytest.raises(ParameterError, match="seed"):
        Latent.random(10000)


def test_copies_and_pickles_play_the_same() -> None:
    made = Latent("oboe", morph_to="flute", morph=0.4, y=0.5)
    expected = sound(made)
    data = pickle.dumps(made)
    assert len(data) < 100_000  # without the network
    for twin in (copy.copy(made), copy.deepcopy(made), pickle.loads(data)):
        np.testing.assert_array_equal(sound(twin), expected)


# -- files ---------------------------------------------------------------------------------------------------------


def test_a_saved_preset_sounds_like_what_was_saved(tmp_path: Path) -> None:
    made = Latent("marimba", morph_to="flute", morph=0.5, z2=1.0)
    made.save_preset(tmp_path / "my.preset", "mine")
    opened = open_instrument(tmp_path / "my.preset")
    assert (opened.sound, family_of(opened)) == ("mine", FAMILIES["latent"])
    np.testing.assert_allclose(opened.timbre, made.timbre, atol=1e-5)
    (tmp_path / "board.yaml").write_text(
        "slots:\n  - instrument: my.preset\n    morph_to: marimba\n    set: {seed: 3}\n"
    )
    board = load_board(tmp_path / "board.yaml")
    assert board[0].instrument.sound == "random-3"
    save_board(board, tmp_path / "again.yaml")
    again = load_board(tmp_path / "again.yaml")[0].instrument
    assert (again.preset, again.morph_to, again.seed) == ("mine", "marimba", 3)


def test_a_board_names_the_family_where_a_timbre_has_the_name(tmp_path: Path) -> None:
    (tmp_path / "board.yaml").write_text("slots:\n  - instrument: latent:violin\n    morph_to: latent:flute\n")
    board = load_board(tmp_path / "board.yaml")
    save_board(board, tmp_path / "again.yaml")
    again = load_board(tmp_path / "again.yaml")[0].instrument
    assert isinstance(again, Latent)
    assert (again.preset, again.morph_to) == ("violin", "flute")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": "0" * 16}, "another network"),
        ({"timbre": [1.0]}, "numbers"),
        ({"timbre": ["a"]}, r"timbre\[0\]"),
        ({"name": ""}, "name"),
        ({"version": 2}, "version"),
    ],
)
def test_damaged_presets_are_errors(change: dict[str, object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "my.preset"
    Latent("marimba").save_preset(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=words):
        read_preset(path, Latent("marimba").file.network)


def test_an_unsaved_preset_cannot_be_part_of_a_board_file(tmp_path: Path) -> None:
    made = Latent.from_audio(tone(), RATE, steps=0)
    with pytest.raises(NeuralFXError, match="save_preset"):
        _ = made.sources
    made.save_preset(tmp_path / "my.preset")
    assert made.sources == {"instrument": tmp_path / "my.preset"}


# -- a recorded note -----------------------------------------------------------------------------------------------


def tone(pitch: float = 64.0, seconds: float = 1.2, level: float = 0.2, lead: float = 0.1) -> np.ndarray:
    """Return a note with eight harmonics that is released after `seconds`."""
    times = np.arange(int((seconds + 0.3) * RATE)) / RATE
    hz = 440 * 2 ** ((pitch - 69) / 12)
    wave = sum(np.sin(2 * np.pi * hz * k * times) / k for k in range(1, 9))
    gain = np.minimum(times / 0.01, 1) * np.exp(-np.maximum(times - seconds, 0) / 0.03)
    return np.concatenate((np.zeros(int(lead * RATE)), level * gain * wave)).astype(np.float32)


@pytest.mark.parametrize("pitch", [36.0, 57.3, 64.0, 81.0])
def test_pitch_onset_and_release_are_found(pitch: float) -> None:
    note = recorded(tone(pitch), RATE)
    assert note.pitch == pytest.approx(pitch, abs=0.1)
    assert note.release is not None
    assert note.release / RATE == pytest.approx(1.2, abs=0.03)
    assert np.abs(note.samples[:480]).max() > 0.01


def test_a_note_of_a_preset_becomes_that_preset(tmp_path: Path) -> None:
    marimba = Latent("electric-bass-finger")
    audio = marimba([on(45, 0.1, 90), off(45, 1.5)], 1.9, 44100)
    soundfile.write(tmp_path / "bass note.wav", np.stack((audio[0], 0.5 * audio[1])).T, 44100)
    coarse = Latent.from_audio(tmp_path / "bass note.wav", steps=0)
    made = Latent.from_audio(tmp_path / "bass note.wav", steps=10, octave=1)
    assert (made.preset, made.octave) == ("bass note", 1)
    assert made.origin["pitch"] == pytest.approx(45, abs=0.2)
    again = Latent.from_audio(tmp_path / "bass note.wav", steps=10)
    np.testing.assert_array_equal(made.timbre, again.timbre)
    wanted = levels(marimba)
    assert np.abs(levels(made) - wanted).mean() < np.abs(levels(coarse) - wanted).mean() < 6


def levels(instrument: Latent) -> np.ndarray:
    """Return the levels of the harmonics of a held note in dB, relative to the loudest one and at least -50."""
    state = instrument.file.network.notes(instrument.timbre[None], np.array([45.0]), np.array([90.0]))
    ticks = np.array([10.0, 40.0, 160.0])
    found = instrument.file.network.frames(np.repeat(state.hidden, 3, axis=0), ticks, np.full(3, np.inf)).levels
    return np.maximum(found[:, :30] - found.max(), -50)


def test_recordings_that_are_no_single_note_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    chord = sum(tone(pitch) for pitch in (60, 64, 67))
    for audio, words in (
        (np.zeros(RATE, np.float32), "is silent"),
        (tone(seconds=0.02)[: int(0.16 * RATE)], "at least 0.15 s"),
        (rng.normal(0, 0.1, RATE).astype(np.float32), "no clear pitch"),
        (chord, "more than one pitch"),
        (np.concatenate((tone(), tone(67))), "more than one note"),
    ):
        with pytest.raises(AudioError, match=words):
            recorded(audio, RATE)
    assert recorded(chord, RATE, pitch=60).pitch == 60
    with pytest.raises(AudioError, match="expected a MIDI note"):
        recorded(tone(), RATE, pitch=400)
    with pytest.raises(AudioError, match="no such file"):
        Latent.from_audio(tmp_path / "none.wav")
    with pytest.raises(ParameterError, match="velocity"):
        Latent.from_audio(tone(), RATE, velocity=0)


# -- the surfaces --------------------------------------------------------------------------------------------------


def test_the_command_line(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "note.wav", tone(), RATE)
    out = tmp_path / "my.preset"
    arguments = ["latent", "from-audio", str(tmp_path / "note.wav"), "-o", str(out), "--steps", "2", "--json"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    report = json.loads(done.stdout)
    assert report["name"] == "note"
    assert report["pitch"] == pytest.approx(64, abs=0.1)
    assert open_instrument(out).preset == "note"
    with pytest.raises(NeuralFXError, match="--overwrite"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    random = ["latent", "random", "7", "-o", str(tmp_path / "r.preset"), "--json"]
    assert json.loads(CliRunner().invoke(app, random).stdout)["name"] == "random-7"
    np.testing.assert_allclose(open_instrument(tmp_path / "r.preset").timbre, Latent.random(7).timbre, atol=1e-5)
    table = json.loads(CliRunner().invoke(app, ["latent", "map", "--json"]).stdout)
    assert [row["preset"] for row in table] == list(preset_names())
    assert {"x", "y"} < set(table[0])
    assert "marimba" in CliRunner().invoke(app, ["latent", "map"]).stdout


def test_osc_and_oscquery_have_every_parameter() -> None:
    host = InstrumentHost("pad", lambda: Latent("marimba"))
    media = Media(())
    tree = Tree({"pad": host}, media)
    said: list[tuple[object, ...]] = []
    stream = host.open(Spec(RATE, 1, 480))
    tree.handle(Message("/pad/note", (60, 100), 0.0), lambda *reply: said.append(reply))
    silence = np.zeros((1, 480), np.float32)
    assert np.abs(np.concatenate([stream.process(silence) for _ in range(10)], 1)).max() > 0.001
    for address, value in (
        ("x", 1.0),
        ("y", -1.0),
        ("morph_preset", 12.0),
        ("morph", 0.5),
        ("z16", 2.0),
        ("seed", 3.0),
    ):
        tree.handle(Message(f"/pad/{address}", (value,), 0.0), lambda *reply: said.append(reply))
        tree.handle(Message(f"/pad/{address}", (), 0.0), lambda *reply: said.append(reply))
        assert said[-1] == (f"/pad/{address}", value)
    assert np.isfinite(stream.process(silence)).all()
    assert {f"z{i}" for i in range(1, 17)} <= set(host.table())


def test_the_card_says_where_the_notes_come_from() -> None:
    card = latent_card("marimba")
    assert card["name"] == "marimba"
    assert "MIT" in card["licence"]
    assert card["held_out"]
    assert card["limits"]
