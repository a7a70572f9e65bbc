"""Drums: the map of keys, strokes, choked hats, knobs that move while it plays, and the family at the registry."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from pathlib import Path

import mido
import numpy as np
import pytest

from instruments import FAMILIES, Drums, InstrumentPlayer, open_instrument, sound_names
from instruments.contract import Touch
from instruments.drums import kit as kits
from instruments.drums.bands import RATE
from instruments.drums.classes import CLASSES, GENERAL_MIDI
from instruments.drums.instrument import SOUNDS, drum_card
from instruments.drums.knobs import KNOBS
from instruments.drums.voices import CHOKE_SAMPLES, DrumVoices
from neural_fx.boards import load_board
from neural_fx.errors import NeuralFXError, ParameterError
from neural_fx.processor import Spec

KICK, SNARE, CLOSED, OPEN, CRASH = 36, 38, 42, 46, 49


@pytest.fixture(scope="module")
def drums() -> Drums:
    """Return a kit whose hits are rendered. Tests that move its knobs take a new one."""
    made = Drums()
    made.kit.finish()
    return made


def strokes(*keys: int, step: float = 0.25, velocity: int = 100, channel: int = 9) -> list[mido.Message]:
    """Return one short note for each key."""
    messages = []
    for index, key in enumerate(keys):
        on = mido.Message("note_on", note=key, velocity=velocity, channel=channel, time=index * step)
        off = mido.Message("note_off", note=key, channel=channel, time=index * step + 0.01)
        messages += [on, off]
    return messages


def peak(audio: np.ndarray) -> float:
    return float(np.abs(audio).max())


@pytest.mark.parametrize("key", GENERAL_MIDI)
def test_every_key_of_the_map_sounds(drums: Drums, key: int) -> None:
    audio = drums(strokes(key), 0.3, RATE)
    assert peak(audio) > 0.01
    assert peak(audio[:, :960]) > 0.2 * peak(audio)  # it begins at once


def test_other_keys_are_silent(drums: Drums) -> None:
    for key in set(range(128)) - set(GENERAL_MIDI):
        assert not drums(strokes(key), 0.02, RATE).any(), key


def test_keys_of_one_class_are_different_drums(drums: Drums) -> None:
    first, second = (drums(strokes(key), 0.3, RATE) for key in (CRASH, 57))
    assert not np.allclose(first, second, atol=1e-3)


def test_any_channel_plays(drums: Drums) -> None:
    np.testing.assert_array_equal(
        drums(strokes(KICK, channel=0), 0.3, RATE), drums(strokes(KICK, channel=9), 0.3, RATE)
    )


@pytest.mark.parametrize("rate", [44100, 48000])
def test_blocks_of_any_size_give_the_same_samples(drums: Drums, rate: int) -> None:
    notes = strokes(KICK, OPEN, CLOSED, SNARE, CRASH, SNARE, step=0.07)
    whole = drums(notes, 0.8, rate)
    for size in (13, 137, 4096):
        np.testing.assert_array_equal(drums(notes, 0.8, rate, buffer_size=size), whole)


def test_a_stroke_rings_after_its_note(drums: Drums) -> None:
    audio = drums(strokes(CRASH), 0.6, RATE)
    assert peak(audio[:, 24000:]) > 0.01 * peak(audio)


def test_a_closed_hat_ends_an_open_one(drums: Drums) -> None:
    alone = drums(strokes(OPEN), 0.5, RATE)
    choked = drums(strokes(OPEN, CLOSED, step=0.1), 0.5, RATE)
    closed = drums(strokes(CLOSED), 0.4, RATE)
    end = 4800 + CHOKE_SAMPLES
    np.testing.assert_array_equal(choked[:, :4800], alone[:, :4800])
    np.testing.assert_array_equal(choked[:, end:], closed[:, end - 4800 : 24000 - 4800])


def test_a_closed_hat_of_another_channel_ends_nothing(drums: Drums) -> None:
    both = strokes(OPEN, channel=0) + [mido.Message("note_on", note=CLOSED, velocity=100, channel=9, time=0.1)]
    alone = drums(strokes(OPEN, channel=0), 0.5, RATE)
    closed = drums(strokes(CLOSED), 0.4, RATE)
    expected = alone.copy()
    expected[:, 4800:] += closed[:, : 24000 - 4800]
    np.testing.assert_allclose(drums(both, 0.5, RATE), expected, atol=1e-6)


def test_bend_and_tuning_choose_no_other_drum(drums: Drums) -> None:
    range_and_bend = [
        mido.Message("control_change", control=control, value=value)
        for control, value in ((101, 0), (100, 0), (6, 12))  # a bend range of an octave
    ]
    bent = [*range_and_bend, mido.Message("pitchwheel", pitch=8191), *strokes(KICK, channel=0)]
    np.testing.assert_array_equal(drums(bent, 0.3, RATE), drums(strokes(KICK, channel=0), 0.3, RATE))


def test_harder_strokes_are_louder_and_brighter(drums: Drums) -> None:
    soft, hard = (drums(strokes(SNARE, velocity=velocity), 0.4, RATE)[0] for velocity in (20, 127))
    assert peak(hard) > 3 * peak(soft)

    def centre(audio: np.ndarray) -> float:
        spectrum = np.abs(np.fft.rfft(audio))
        return float((spectrum * np.arange(len(spectrum))).sum() / spectrum.sum())

    assert centre(hard) > 1.03 * centre(soft)


def test_a_full_roll_does_not_clip(drums: Drums) -> None:
    keys = (KICK, SNARE, CRASH, CLOSED)
    together = [mido.Message("note_on", note=key, velocity=127) for key in keys]
    assert peak(drums(together, 0.5, RATE)) < 1.0


def test_many_strokes_keep_to_the_voices(drums: Drums) -> None:
    audio = drums(strokes(*[CRASH, 57, 55, 52] * 12, step=0.03), 2.0, RATE)
    assert np.isfinite(audio).all()
    assert peak(audio) < 1.5


def test_a_stolen_drum_does_not_click() -> None:
    drums = Drums(voices=2)
    voices = DrumVoices(drums)
    drums.kit.finish()
    voices.start(0, Touch(note=CRASH, velocity=1.0, held=True))
    before = voices.render(4800)
    voices.start(0, Touch(note=127, velocity=1.0, held=True))  # a key without a drum, so only the fade is left
    after = voices.render(200)
    assert 0 < peak(after[:96]) <= peak(before)
    assert not after[97:].any()
    assert not voices.sounding(0)
    assert voices.level(0) < -100


# -- knobs ---------------------------------------------------------------------------------------------------------


def test_there_is_a_knob_for_each_class_and_for_all() -> None:
    names = set(Drums().parameters)
    assert set(KNOBS) < names
    assert {f"{drum}_{knob}" for drum in CLASSES for knob in KNOBS} < names
    assert {f"{drum}_level_db" for drum in CLASSES} < names


def test_a_knob_changes_its_class_only() -> None:
    drums = Drums()
    before = {key: drums(strokes(key), 0.3, RATE) for key in (KICK, SNARE)}
    drums.snare_brightness = 1.0
    np.testing.assert_array_equal(drums(strokes(KICK), 0.3, RATE), before[KICK])
    assert not np.allclose(drums(strokes(SNARE), 0.3, RATE), before[SNARE], atol=1e-3)
    drums.snare_brightness = 0.5
    np.testing.assert_array_equal(drums(strokes(SNARE), 0.3, RATE), before[SNARE])


def test_the_knob_of_all_drums_adds_to_that_of_a_class() -> None:
    both = Drums(decay=0.75, kick_decay=0.75)
    one = Drums(kick_decay=1.0)
    np.testing.assert_array_equal(both(strokes(KICK), 0.5, RATE), one(strokes(KICK), 0.5, RATE))


def test_seeds_are_kits() -> None:
    first, again, other = (Drums(seed=seed)(strokes(KICK, SNARE), 0.6, RATE) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other, atol=1e-3)


def test_levels_are_immediate() -> None:
    drums = Drums(voices=8)
    plain = peak(drums(strokes(SNARE), 0.3, RATE))
    drums.snare_level_db = -12
    assert peak(drums(strokes(SNARE), 0.3, RATE)) == pytest.approx(plain * 10 ** (-12 / 20), rel=1e-3)
    drums.loudness_db = -6
    assert peak(drums(strokes(SNARE), 0.3, RATE)) == pytest.approx(plain * 10 ** (-18 / 20), rel=1e-3)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return an event without which the rendering thread waits."""
    event = threading.Event()
    render = kits.render

    def waiting(*arguments: object) -> object:
        if threading.current_thread().name == "drums":
            assert event.wait(60)
        return render(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(kits, "render", waiting)
    return event


def test_the_old_hit_plays_until_the_new_one_is_ready(gate: threading.Event) -> None:
    drums = Drums()
    player = InstrumentPlayer(drums)
    player.prepare(Spec(float(RATE), 1, 512))
    silence = np.zeros((1, 512), np.float32)

    def stroke() -> np.ndarray:
        player.send(mido.Message("note_on", note=CLOSED, velocity=100))
        blocks = [player.process_block(silence) for _ in range(20)]
        return np.concatenate(blocks, 1)

    old = stroke()
    for _ in range(200):
        player.process_block(silence)
    player.set_parameter("closed_hat_brightness", 0.0)
    np.testing.assert_array_equal(stroke(), old)  # without waiting
    for _ in range(200):
        player.process_block(silence)
    gate.set()
    limit = time.monotonic() + 60
    while np.array_equal(stroke(), old):
        assert time.monotonic() < limit
        for _ in range(200):
            player.process_block(silence)


def test_the_thread_ends_and_the_last_value_counts() -> None:
    drums = Drums()
    drums.kit.finish()
    for value in np.linspace(0, 1, 30):
        drums.kick_decay = value
    drums.kit.finish()
    limit = time.monotonic() + 60
    while any(thread.name == "drums" for thread in threading.enumerate()):
        assert time.monotonic() < limit
        time.sleep(0.01)
    np.testing.assert_array_equal(drums(strokes(KICK), 0.3, RATE), Drums(kick_decay=1.0)(strokes(KICK), 0.3, RATE))


def test_bad_values_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"snare_brightnes.*did you mean"):
        Drums(snare_brightnes=0.2)
    with pytest.raises(ParameterError, match="outside its range 0 to 1"):
        Drums(kick_decay=1.5)
    with pytest.raises(NeuralFXError, match=r"unknown drum kit 'studio'.*bundled: studio-kit, electronic-kit"):
        Drums("studio")


# -- the family ----------------------------------------------------------------------------------------------------


def test_kits_are_sounds() -> None:
    for sound in SOUNDS:
        assert sound in sound_names()
        opened = open_instrument(sound, kick_decay=0.7)
        assert isinstance(opened, Drums)
        assert (opened.sound, opened.kick_decay) == (sound, 0.7)
        assert sound in repr(opened)
    assert FAMILIES["drums"].sounds() == tuple(SOUNDS)


def test_the_card_says_where_the_sounds_come_from() -> None:
    card = drum_card("studio-kit")
    assert card["name"] == "studio-kit"
    for word in ("MIT", "CC0"):
        assert word in card["licence"]
    assert card["held_out"]
    assert card["limits"]


def test_copies_and_pickles_play_the_same(drums: Drums) -> None:
    expected = drums(strokes(KICK, SNARE), 0.5, RATE)
    for twin in (copy.copy(drums), copy.deepcopy(drums), pickle.loads(pickle.dumps(drums))):
        np.testing.assert_array_equal(twin(strokes(KICK, SNARE), 0.5, RATE), expected)


def test_a_board_has_drums(tmp_path: Path) -> None:
    path = tmp_path / "drums.yaml"
    path.write_text("board: 1\nslots:\n  - instrument: electronic-kit\n    set: {seed: 3, snare_decay: 0.2}\n")
    board = load_board(path)
    (player,) = board
    assert isinstance(player.instrument, Drums)
    assert (player.instrument.sound, player.seed, player.snare_decay) == ("electronic-kit", 3, 0.2)
