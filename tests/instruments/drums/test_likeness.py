"""`Drums.like`: drums that sound like recorded hits, and the gradient that finds them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from bridge.cli import app
from instruments import Drums
from instruments.drums.bands import FLOOR_DB, band_levels, level_distance, limited, smoothed
from instruments.drums.guess import class_odds
from instruments.drums.instrument import DATA
from instruments.drums.likeness import find_like, read_hit
from instruments.drums.network import LEVEL_SCALE, DrumNetwork, _condition
from instruments.drums.sines import SLOTS, find_sines
from instruments.drums.synthesis import synthesize
from neural_fx.errors import NeuralFXError

RATE = 48000


@pytest.fixture(scope="module")
def network() -> DrumNetwork:
    return DrumNetwork.read(DATA / "drums.safetensors")


@pytest.fixture
def snare(tmp_path: Path) -> Path:
    path = tmp_path / "my-snare.wav"
    sound = np.concatenate((np.zeros(3000), 0.4 * synthesize("snare", 9), np.zeros(2000)))
    soundfile.write(path, np.stack((sound, sound), 1), RATE, subtype="FLOAT")
    return path


def test_the_gradient_is_that_of_the_error(network: DrumNetwork) -> None:
    audio = synthesize("snare", 9)
    levels, sines = limited(band_levels(audio)), find_sines(audio)
    wanted = sines.vector()
    z, knobs = network.encode("snare", levels, sines)
    silent = levels <= FLOOR_DB
    weights = network._weights

    def error(numbers: np.ndarray) -> float:
        z, knobs = numbers[: network.latent], numbers[network.latent :]
        out = network._layers("decoder", np.concatenate((z, _condition("snare", knobs)))).astype(float)
        bands, frames = weights["bands"], weights["frames"]
        coefficients = out[: -4 * SLOTS].reshape(bands.shape[1], frames.shape[1])
        decoded = smoothed(bands @ coefficients @ frames.T + weights["mean"] / LEVEL_SCALE)
        miss = decoded - decoded.max() - levels / LEVEL_SCALE
        miss = np.where(silent, np.maximum(miss, 0), miss)
        by_sine = (out[-4 * SLOTS :] - wanted) ** 2 * np.tile(wanted[-SLOTS:] + 0.1, 4)
        return float((miss**2).sum() / (96 * (~silent).any(0).sum()) + 2e-3 * by_sine.sum())

    numbers = np.concatenate((z, knobs))
    step = 0.01 * np.eye(len(numbers))
    expected = [(error(numbers + move) - error(numbers - move)) / 0.02 for move in step]
    found = network.gradient("snare", z, knobs, levels, wanted, 2e-3)
    np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(expected).max())


def test_the_descent_comes_nearer(network: DrumNetwork) -> None:
    gains = []
    for drum in ("kick", "snare", "closed_hat", "crash"):
        found = find_like(network, synthesize(drum, 19), drum)
        assert found.drum == drum
        assert found.odds == {}
        assert found.distance_db <= found.first_distance_db
        gains.append(found.first_distance_db - found.distance_db)
    assert np.mean(gains) > 0.2


def test_a_kit_has_the_found_drum_and_keeps_the_others(snare: Path) -> None:
    drums, plain = Drums.like(snare, drum="snare"), Drums()
    assert list(drums.found) == ["snare"]

    def hit(instrument: Drums, key: int) -> np.ndarray:
        return instrument([mido.Message("note_on", note=key, velocity=64, channel=9)], 1.0, RATE)[0]

    np.testing.assert_array_equal(hit(drums, 36), hit(plain, 36))
    wanted = limited(band_levels(read_hit(snare)))

    def distance(instrument: Drums, key: int) -> float:
        return level_distance(limited(band_levels(hit(instrument, key))), wanted)

    assert distance(drums, 38) < 0.7 * distance(plain, 38)
    assert distance(drums, 40) < distance(plain, 40)
    before = hit(drums, 38)
    np.testing.assert_array_equal(hit(pickle.loads(pickle.dumps(drums)), 38), before)
    drums.seed = 3
    drums.finish()
    assert distance(drums, 38) < 0.7 * distance(plain, 38)
    drums.snare_brightness = 1.0
    assert not np.allclose(hit(drums, 38), before)


def test_the_class_is_guessed() -> None:
    right = 0
    for drum in ("kick", "snare", "closed_hat", "crash", "cowbell", "clap"):
        for seed in (29, 39):
            odds = class_odds(limited(band_levels(synthesize(drum, seed))))
            assert sum(odds.values()) == pytest.approx(1.0, abs=1e-4)
            assert list(odds.values()) == sorted(odds.values(), reverse=True)
            right += next(iter(odds)) == drum
    assert right >= 10


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (np.zeros(4800), "silent"),
        (np.full(4800, np.nan), "finite"),
        (np.concatenate((np.zeros(100), [0.5], np.zeros(4000))), "sounds for"),
        (np.stack((np.ones(4800), -np.ones(4800)), 1), "cancel"),
    ],
)
def test_what_is_no_hit_is_refused(tmp_path: Path, sound: np.ndarray, message: str) -> None:
    soundfile.write(tmp_path / "hit.wav", sound, RATE, subtype="FLOAT")
    with pytest.raises(NeuralFXError, match=message):
        Drums.like(tmp_path / "hit.wav")


def test_an_unknown_class_is_refused_with_a_suggestion(snare: Path) -> None:
    with pytest.raises(NeuralFXError, match="did you mean 'snare'"):
        Drums.like(snare, drum="snar")


def test_the_command_reports_what_it_found(snare: Path, tmp_path: Path) -> None:
    arguments = ["drums", "-o", str(tmp_path / "kit"), "--like", str(snare), "--class", "snare", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert 0 < report["like"]["snare"]["distance_db"] < 6
    assert set(report["like"]["snare"]["knobs"]) >= {"brightness", "decay"}
    assert (tmp_path / "kit" / "38-snare-2.wav").exists()
    alone = CliRunner().invoke(app, ["drums", "-o", str(tmp_path / "other"), "--class", "snare"])
    assert alone.exit_code != 0
    assert not (tmp_path / "other").exists()
