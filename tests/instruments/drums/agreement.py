"""Check that numpy runs what torch has trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from instruments.drums.bands import band_levels, limited
from instruments.drums.classes import CLASSES
from instruments.drums.network import DrumNetwork
from instruments.drums.sines import Sines, find_sines
from instruments.drums.synthesis import synthesize


def check_numpy_equals_torch(network: DrumNetwork, model: Any) -> None:
    """Compare a random rim and a synthesised one, decoded and encoded by both.

    Args:
        network: in numpy.
        model: the same `DrumAutoencoder` in torch.
    """
    import torch  # the tests that call this are skipped without it

    z = np.random.default_rng(1).standard_normal(network.latent).astype(np.float32)
    knobs = np.linspace(0.1, 0.9, 7).astype(np.float32)
    drum = CLASSES.index("rim")
    with torch.no_grad():
        levels, numbers = model.decode(torch.tensor(z)[None], torch.tensor([drum]), torch.tensor(knobs)[None])
    answer = network.decode("rim", z, knobs, exact=False)
    np.testing.assert_allclose(answer.levels, limited(levels[0].numpy()), atol=0.3)  # the file has half precision
    wanted = Sines.from_vector(numbers[0].numpy())
    np.testing.assert_allclose(answer.sines.tonality, wanted.tonality, atol=0.01)
    audio = synthesize("rim", 9)
    own, sines = limited(band_levels(audio)), find_sines(audio)
    found, scaled = network.encode("rim", own, sines)
    with torch.no_grad():
        mean, _ = model.encode(
            torch.tensor(own)[None],
            torch.tensor(sines.vector(), dtype=torch.float32)[None],
            torch.tensor([drum]),
            torch.tensor(scaled)[None],
        )
    np.testing.assert_allclose(found, mean[0].numpy(), atol=0.05)
