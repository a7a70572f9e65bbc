"""The scripts that made the network: duplicates, splits, variations, the prior, and numpy against torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from instruments.drums.bands import FLOOR_DB
from instruments.drums.sines import SLOTS
from instruments.drums.synthesis import synthesize

torch = pytest.importorskip("torch", reason='the scripts need pip install "neural-fx[torch]"')

from demos.drums import hit_store  # noqa: E402
from demos.drums.judges import cluster_shares  # noqa: E402
from instruments.drums.training.augment import Augmenter, interpolated  # noqa: E402
from instruments.drums.training.features import Features, measured, synthetic_hits  # noqa: E402
from instruments.drums.training.measures import nearest  # noqa: E402
from instruments.drums.training.prior import mixture  # noqa: E402


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
