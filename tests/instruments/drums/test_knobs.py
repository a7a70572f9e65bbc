"""Knobs: the formulas on hits whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from instruments.drums.bands import BANDS, FLOOR_DB, FRAMES, band_hz, frame_seconds, limited
from instruments.drums.knobs import KNOBS, Weights, measured_knobs, raw_knobs


def fading(decay: float = 0.1) -> np.ndarray:
    """Return levels of noise that falls by 60 dB in 6.9 times `decay`."""
    levels = np.zeros((BANDS, FRAMES)) - 8.7 * frame_seconds() / decay
    return limited(levels)


def knob(levels: np.ndarray, name: str) -> float:
    return float(measured_knobs(limited(levels))[KNOBS.index(name)])


def test_each_knob_follows_its_cause() -> None:
    plain = fading()
    hz = band_hz()[:, None]
    seconds = frame_seconds()[None]
    sounding = plain > FLOOR_DB
    causes = {
        "boominess": np.where(hz < 120, 12.0, 0.0),
        "brightness": np.where(hz > 3000, 12.0, 0.0),
        "hardness": np.where(seconds < 0.012, 12.0, 0.0),
        "warmth": np.where((hz >= 120) & (hz < 600), 12.0, 0.0),
        "depth": np.where(hz < 50, 20.0, 0.0),
    }
    for name, change in causes.items():
        assert knob(np.where(sounding, plain + change, plain), name) > knob(plain, name) + 0.1, name
    assert knob(fading(0.2), "decay") == pytest.approx(knob(fading(0.1), "decay") + 1, abs=0.1)
    tonal = np.where(np.abs(np.arange(BANDS)[:, None] - 30) < 2, plain, plain - 40)
    assert knob(tonal, "noisiness") < knob(plain, "noisiness") - 1.5


def test_flat_noise_by_hand() -> None:
    """The balances of white noise are those of bandwidths."""
    flat = np.zeros((BANDS, FRAMES), np.float32)
    hz, width = band_hz(), np.gradient(band_hz())
    low = width[hz < 120].sum()
    warm = width[(hz >= 120) & (hz < 600)].sum()

    def balance(part: float, whole: float) -> float:  # limited to 30 dB
        return float(10 * np.log10((part + 1e-3 * whole) / (whole - part + 1e-3 * whole)))

    assert knob(flat, "boominess") == pytest.approx(balance(low, width.sum()), abs=0.05)
    assert knob(flat, "warmth") == pytest.approx(balance(warm, width.sum() - low), abs=0.05)


def test_silence_and_extremes_are_finite() -> None:
    single = np.full((BANDS, FRAMES), FLOOR_DB, np.float32)
    single[90, 100] = 0
    assert np.isfinite(measured_knobs(single)).all()
    single[90, 100], single[0, 0] = FLOOR_DB, 0
    assert np.isfinite(measured_knobs(single)).all()


def test_a_batch_equals_its_items() -> None:
    levels = np.stack([fading(0.05), fading(0.3)])
    together = measured_knobs(levels)
    np.testing.assert_allclose(together[1], measured_knobs(levels[1]), rtol=1e-5)


def test_torch_gives_the_same_values_and_gradients() -> None:
    torch = pytest.importorskip("torch", reason='gradients need pip install "neural-fx[torch]"')
    levels = torch.tensor(np.stack([fading(0.05), fading(0.3)]), requires_grad=True)
    found = torch.stack(raw_knobs(levels, Weights.make(torch.tensor), torch.log, torch.exp), -1)
    np.testing.assert_allclose(found.detach().numpy(), measured_knobs(levels.detach().numpy()), atol=1e-3)
    for index, name in enumerate(KNOBS):
        (gradient,) = torch.autograd.grad(found[0, index], levels, retain_graph=True)
        assert torch.isfinite(gradient).all(), name
        assert gradient.abs().max() > 0, name
