"""The network: its file, its answers, and how closely it follows its knobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from instruments.drums.bands import BANDS, FLOOR_DB, FRAMES, band_levels, level_distance, limited
from instruments.drums.classes import CLASSES
from instruments.drums.instrument import DATA
from instruments.drums.knobs import KNOBS
from instruments.drums.network import DrumNetwork
from instruments.drums.sines import find_sines
from instruments.drums.synthesis import synthesize
from neural_fx.errors import ModelError

POSITIONS = np.linspace(0, 1, 5)


@pytest.fixture(scope="module")
def network() -> DrumNetwork:
    return DrumNetwork.read(DATA / "drums.safetensors")


def test_the_bundled_file_is_small() -> None:
    path = DATA / "drums.safetensors"
    weights = load_file(path)
    decoder = sum(array.nbytes for name, array in weights.items() if name.startswith(("decoder", "bands", "frames")))
    assert decoder <= 4_000_000
    assert path.stat().st_size <= 4_500_000


def test_another_file_is_refused(tmp_path: Path) -> None:
    save_file({"mean": np.zeros((96, 144), np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"not a drum network: it has no bands, decoder0\.weight"):
        DrumNetwork.read(tmp_path / "other.safetensors")


@pytest.mark.parametrize("drum", CLASSES)
def test_random_hits_are_hits(network: DrumNetwork, drum: str) -> None:
    random = np.random.default_rng(1)
    for _ in range(4):
        hit = network.decode(drum, *network.sample(drum, random))
        assert hit.levels.shape == (BANDS, FRAMES)
        assert hit.levels.max() == 0
        assert hit.levels.min() >= FLOOR_DB
        assert np.isfinite(hit.knobs).all()
        # It begins at the onset, and fades.
        power = 10 ** (hit.levels / 10)
        assert power[:, :70].sum() > power[:, -20:].sum()


@pytest.mark.parametrize("drum", CLASSES)
def test_a_hit_is_encoded_and_decoded(network: DrumNetwork, drum: str) -> None:
    """Unheard sounds of our synthesiser come back closer than two sounds of a class are to each other."""
    hits = []
    for seed in (5009, 5019, 5029, 5039):
        audio = synthesize(drum, seed)
        hits.append((limited(band_levels(audio)), find_sines(audio)))
    own, others = [], []
    for index, (levels, sines) in enumerate(hits):
        decoded = network.decode(drum, *network.encode(drum, levels, sines), exact=False)
        own.append(level_distance(decoded.levels, levels))
        others.append(level_distance(hits[index - 1][0], levels))
    assert np.mean(own) < 0.75 * np.mean(others)


def test_shaping_brings_a_turned_knob_closer(network: DrumNetwork) -> None:
    random = np.random.default_rng(2)
    plain, exact = [], []
    for drum in CLASSES * 3:
        z, own = network.sample(drum, random)
        knob = int(random.integers(len(KNOBS)))
        asked = own.copy()
        asked[knob] = random.uniform(0, 1)
        plain.append(abs(network.decode(drum, z, asked, exact=False).knobs[knob] - asked[knob]))
        exact.append(abs(network.decode(drum, z, asked, own).knobs[knob] - asked[knob]))
    assert np.mean(exact) < 0.5 * np.mean(plain)
    assert np.mean(exact) < 0.05


@pytest.mark.parametrize("knob", range(len(KNOBS)), ids=KNOBS)
def test_a_knob_is_followed(network: DrumNetwork, knob: int) -> None:
    random = np.random.default_rng(3)
    slopes = []
    for drum in CLASSES * 2:
        z, own = network.sample(drum, random)
        found = []
        for position in POSITIONS:
            asked = own.copy()
            asked[knob] = position
            found.append(network.decode(drum, z, asked, own).knobs[knob])
        slopes.append(np.polyfit(POSITIONS, found, 1)[0])
    assert np.median(slopes) == pytest.approx(1.0, abs=0.2)


def test_random_hits_depend_on_the_generator_only(network: DrumNetwork) -> None:
    first = network.sample("ride", np.random.default_rng(4))
    again = network.sample("ride", np.random.default_rng(4))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
