"""The scripts that made the network: duplicates, splits, variations, the prior, and numpy against torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from instruments.drums.bands import FLOOR_DB
from instruments.drums.classes import CLASSES
from instruments.drums.network import DrumNetwork
from instruments.drums.sines import SLOTS
from instruments.drums.synthesis import synthesize

torch = pytest.importorskip("torch", reason='the scripts need pip install "neural-fx[torch]"')

from demos.drums import hit_store  # noqa: E402
from demos.drums.judges import cluster_shares  # noqa: E402
from demos.drums.losses import quick_distances  # noqa: E402
from demos.drums.pack import joined, read_packed, write_packed  # noqa: E402
from demos.drums.train import exported  # noqa: E402
from demos.drums.trainer import Trainer  # noqa: E402
from demos.drums.variety import varied  # noqa: E402
from instruments.drums.training.augment import Augmenter, interpolated  # noqa: E402
from instruments.drums.training.features import Features, measured, synthetic_hits  # noqa: E402
from instruments.drums.training.measures import nearest  # noqa: E402
from instruments.drums.training.prior import mixture  # noqa: E402
from tests.instruments.drums.agreement import check_numpy_equals_torch  # noqa: E402


class Quiet:
    """Shows no progress."""

    def show(self, fraction: float, text: str) -> None:
        pass


@pytest.fixture(scope="module")
def features() -> Features:
    """Return measured hits of all classes, half of them marked as recorded."""
    found = measured(synthetic_hits(4))
    found.source[::2] = "recorded"
    return found


def hit(audio: np.ndarray, name: str, drum: str = "snare", source: str = "one") -> hit_store.Hit:
    return hit_store.Hit(audio, drum, source, name)


def test_duplicates_are_removed_and_relatives_share_a_split(tmp_path: Path) -> None:
    sound = synthesize("snare", 1)
    louder = np.concatenate((np.zeros(500, np.float32), 0.3 * sound))
    relative = sound * np.linspace(1, 0.2, len(sound), dtype=np.float32)
    other = synthesize("snare", 2)
    hits = [hit(sound, "a"), hit(louder, "b"), hit(relative, "c"), hit(other, "d"), hit(0 * sound, "silent")]
    hit_store.write_hits(hit_store.kit_file(tmp_path, "one", "Kit 1"), hits)
    hit_store.write_hits(
        hit_store.kit_file(tmp_path, "rumpf", "kit"), [hit(synthesize("kick", 3), "e", "kick", "rumpf")]
    )
    counts = hit_store.duplicates_removed(tmp_path)
    index = hit_store.load_index(tmp_path)
    assert [item.name for item in index] == ["a", "c", "d", "e"]
    assert index[0].split == index[1].split
    assert index[3].split == "test"
    assert counts["rumpf test"] == {"kick": 1}
    np.testing.assert_allclose(index[0].audio[:500], sound[:500] / np.abs(sound).max(), atol=1e-3)


def test_variations_keep_what_they_should(features: Features) -> None:
    levels = torch.tensor(features.levels.astype(np.float32))
    sines = torch.tensor(features.sines)
    varied, varied_sines = Augmenter(1)(levels, sines)
    assert varied.shape == levels.shape
    assert torch.all(varied.amax((1, 2)) == 0)
    assert varied.min() >= FLOOR_DB
    heard = sines[:, 3 * SLOTS :] > 0.1
    place = varied_sines[:, :SLOTS][heard]
    assert place.min() >= -1e-5
    assert place.max() <= 1 + 1e-5
    again, _ = Augmenter(1)(levels, sines)
    assert torch.equal(varied, again)
    positions = torch.arange(96).float().expand(len(levels), -1).clamp(max=94.999)
    torch.testing.assert_close(interpolated(levels, positions, 1), levels, atol=0.2, rtol=0)


def test_training_learns_and_numpy_runs_it(features: Features) -> None:
    trainer = Trainer(features, seed=1, batch=16)
    trainer.steps = 200  # the learning rate has risen
    losses = [trainer.step(0.1)["levels"] for _ in range(120)]
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:5])
    arrays = exported(trainer)
    network = DrumNetwork(dict(arrays))
    assert network.presets == ["electronic", "studio"]
    model = trainer.average.module
    check_numpy_equals_torch(network, model)


def test_training_continues_from_a_checkpoint(features: Features) -> None:
    trainer = Trainer(features, seed=1)
    trainer.step(0.1)
    other = Trainer(features, seed=2)
    other.load(trainer.state())
    assert other.steps == 1
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name]), name


def test_a_mixture_finds_two_groups() -> None:
    random = np.random.default_rng(1)
    numbers = np.concatenate((random.normal(-4, 0.3, (60, 3)), random.normal(4, 0.3, (60, 3))))
    shares, means, covariances = mixture(numbers, np.ones(120), np.zeros(3))
    assert shares.sum() == pytest.approx(1)
    drawn = [
        random.multivariate_normal(means[part], covariances[part]) for part in random.choice(len(shares), 400, p=shares)
    ]
    assert np.mean(drawn) == pytest.approx(0, abs=0.6)
    assert np.median(np.abs(drawn)) == pytest.approx(4, abs=0.4)


def test_clusters_and_neighbours() -> None:
    random = np.random.default_rng(1)
    centres = np.array([[-20.0, -20.0], [-20.0, -40.0], [-40.0, -20.0]])
    sounds = np.concatenate([centre + random.normal(0, 0.5, (50, 2)) for centre in centres])
    clusters = cluster_shares(sounds, 3)
    same, other = clusters.compare(sounds), clusters.compare(sounds[:50])
    assert (same["ndb"], same["js"]) == ("0/3", 0)
    assert other["js"] > 0.1  # type: ignore[operator]
    distance, source = nearest(
        np.array([[-20.0, -21.0]]), np.array([[-20.0, -20.0], [-50.0, -50.0]]), np.array(["a", "b"])
    )
    assert (distance[0], source[0]) == (0.5, "a")


def test_packed_hits_are_those_of_the_cache(features: Features, tmp_path: Path) -> None:
    write_packed(tmp_path / "hits.npz", features)
    again = read_packed(tmp_path / "hits.npz")
    np.testing.assert_allclose(again.levels, features.levels, atol=0.17)  # half a step and half precision
    np.testing.assert_allclose(again.sines, features.sines, atol=2e-3)
    assert again.name.tolist() == features.name.tolist()
    both = joined([features, again])
    assert len(both.drum) == 2 * len(features.drum)


@pytest.mark.parametrize("drum", CLASSES)
def test_varied_hits_are_hits(drum: str) -> None:
    audio = varied(drum, 3)
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() == pytest.approx(1.0)
    assert np.flatnonzero(np.abs(audio) > 0.01)[0] <= 24
    assert np.array_equal(audio, varied(drum, 3))
    assert not np.array_equal(audio[:400], varied(drum, 4)[:400])


def test_mixing_and_rooms_leave_silence_silent(features: Features) -> None:
    levels = torch.full((40, 96, 144), FLOOR_DB)
    levels[:, :, :10] = -20.0
    levels[:, 5, 3] = 0.0
    sines = torch.tensor(features.sines[:1]).expand(40, -1)
    varied_levels, _ = Augmenter(2)(levels, sines, torch.zeros(40, dtype=torch.long))
    assert (varied_levels[:, :, 120:] == FLOOR_DB).all()  # 2 s later


def test_varied_hits_take_part_in_training(features: Features) -> None:
    trainer = Trainer(features, seed=1, batch=8)
    before = len(trainer.hits.drum)
    trainer.add(features)
    trainer.step(0.0)
    assert len(trainer.varied) == len(features.drum)
    assert len(trainer.hits.drum) == before
    found = quick_distances(trainer.average.module, features)
    assert found["recorded, trained on"] > 0
