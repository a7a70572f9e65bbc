"""The trainer of the network: it learns, continues from a checkpoint, and numpy runs what it has learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from instruments.drums.network import DrumNetwork

torch = pytest.importorskip("torch", reason='training needs pip install "neural-fx[torch]"')

from demos.drums.kits import kit_presets  # noqa: E402
from instruments.drums.training.features import Features, measured, synthetic_hits  # noqa: E402
from instruments.drums.training.trainer import DrumTrainer, Settings  # noqa: E402
from instruments.drums.training.weights import exported, latent_numbers  # noqa: E402
from tests.instruments.drums.agreement import check_numpy_equals_torch  # noqa: E402


@pytest.fixture(scope="module")
def features() -> Features:
    """Return measured hits of all classes, half of them marked as recorded."""
    found = measured(synthetic_hits(4))
    found.source[::2] = "recorded"
    return found


def stepped(trainer: DrumTrainer, steps: int) -> list[float]:
    """Train some steps, and return the loss of the levels at each."""
    losses = []
    for _ in range(steps):
        trainer._step(np.random.default_rng([trainer.seed, trainer.step]), 0.1)
        losses.append(trainer.losses["levels"])
    return losses


def test_training_learns_and_numpy_runs_it(features: Features) -> None:
    trainer = DrumTrainer(features, Settings(batch=16, seed=1))
    trainer.course.steps = 200  # the learning rate has risen
    losses = stepped(trainer, 120)
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:5])
    trainer.validate()
    numbers, spread = latent_numbers(trainer.best_model(), trainer.hits)
    arrays = exported(trainer.best_model(), numbers, spread, trainer.hits, kit_presets(numbers, trainer.hits))
    network = DrumNetwork(dict(arrays))
    assert network.presets == ["electronic", "studio"]
    model = trainer.best_model()
    check_numpy_equals_torch(network, model)


def test_training_continues_from_a_checkpoint_with_the_same_steps(features: Features, tmp_path: Path) -> None:
    trainer = DrumTrainer(features, Settings(seed=1))
    stepped(trainer, 1)
    trainer.save(tmp_path / "a.ckpt")
    other = DrumTrainer(features, Settings(seed=2))
    assert "seed" in other.load(tmp_path / "a.ckpt")[0]
    assert other.step == 1
    assert stepped(trainer, 2) == stepped(other, 2)
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name]), name
    for name, value in trainer.average.state_dict().items():
        assert torch.equal(value, other.average.state_dict()[name]), name
