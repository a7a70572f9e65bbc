"""The network in numpy: its shapes, its twin in torch, and its files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from instruments.latent import features
from instruments.latent.files import LatentFile, read_network, save_network
from instruments.latent.frames import LEVELS, SILENT_DB, NoteFrames, frame_ticks
from instruments.latent.network import FRAME_OUTPUTS, LatentNetwork, Sizes, weight_shapes
from neural_fx.errors import ModelError

SMALL = Sizes(timbre=4, note=12, frame=20, summary=6, encoder=10)


def random_weights(sizes: Sizes = SMALL, seed: int = 0) -> dict[str, np.ndarray]:
    """Return random weights."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in weight_shapes(sizes).items()}


def random_note(seed: int = 0, release: int = 598) -> NoteFrames:
    """Return a note with random levels."""
    rng = np.random.default_rng(seed)
    ticks = frame_ticks(release, release + 200)
    levels = rng.uniform(-90, -20, (len(ticks), LEVELS))
    return NoteFrames(60, 80, release, release + 200, ticks, levels, np.zeros(len(ticks)), 0.0, np.zeros(80))


def hidden_of(network: LatentNetwork) -> np.ndarray:
    """Return the hidden numbers of one note."""
    return network.notes(np.ones((1, 4)), np.array([60]), np.array([80])).hidden


@pytest.fixture
def network() -> LatentNetwork:
    return LatentNetwork(random_weights())


def test_frames_do_not_depend_on_each_other(network: LatentNetwork) -> None:
    hidden = hidden_of(network)
    ticks = np.arange(0, 700, 7)
    releases = np.full(100, 400)
    together = network.frames(hidden, ticks, releases)
    for first, last in ((0, 1), (1, 50), (50, 100)):
        part = network.frames(hidden, ticks[first:last], releases[first:last])
        np.testing.assert_allclose(part.levels, together.levels[first:last], atol=1e-3)
        np.testing.assert_allclose(part.cents, together.cents[first:last], atol=1e-3)


def test_the_release_changes_nothing_before_it(network: LatentNetwork) -> None:
    ticks = np.arange(400)
    early, late, held = (
        network.frames(hidden_of(network), ticks, np.full(400, release)).levels for release in (200.0, 399.0, np.inf)
    )
    np.testing.assert_array_equal(late[:399], held[:399])
    np.testing.assert_array_equal(early[:200], late[:200])
    assert np.abs(early[200:399] - late[200:399]).max() > 0.01


def test_a_note_ends_where_two_frames_are_not_alive(network: LatentNetwork) -> None:
    weights = random_weights()
    for value, end in ((-100.0, 0), (100.0, 900)):
        weights["frame.outputs.bias"][FRAME_OUTPUTS - 1] = value
        note = LatentNetwork(weights).play(np.ones(4), 60, 80, 200, 900)
        assert note.end == pytest.approx(end, abs=1)
        assert (note.ticks < note.end).all()
        assert len(note.levels) == len(note.cents) == len(note.ticks)
        assert (note.levels >= SILENT_DB).all()
        assert note.inharmonicity >= 0


def test_a_summary_is_the_mean_of_parts_of_a_note() -> None:
    note = random_note()
    note.levels[:] = -50.0
    note.levels[note.ticks >= note.release] = -70.0
    found = features.unscaled(features.summary(note))
    np.testing.assert_allclose(found[:8], -50, atol=1e-9)
    np.testing.assert_allclose(found[8:], -70, atol=1e-9)


def test_what_is_after_the_end_is_silent_in_a_summary() -> None:
    ticks = frame_ticks(598, 10)
    levels = np.full((10, LEVELS), -30.0)
    note = NoteFrames(60, 80, 598, 10, ticks, levels, np.zeros(10), 0.0, np.zeros(80))
    found = features.unscaled(features.summary(note))
    np.testing.assert_allclose(found[0], -30, atol=1e-9)
    np.testing.assert_allclose(found[2:], -110, atol=15)
    np.testing.assert_allclose(found[3:], -110, atol=1e-9)


def test_torch_and_numpy_agree() -> None:
    torch = pytest.importorskip("torch")
    from instruments.latent.training.model import LatentModel

    torch.manual_seed(0)
    model = LatentModel(SMALL)
    network = LatentNetwork(model.weights())
    note = random_note()
    seen = features.note_features(np.array([60.0]), np.array([80.0]))
    times = features.time_features(note.ticks, np.full(len(note.ticks), note.release))
    with torch.no_grad():
        mean, _ = model.encode(
            torch.tensor(features.summary(note)[None], dtype=torch.float32), torch.tensor(seen, dtype=torch.float32)
        )
        frames, outputs = model.decode(
            mean, torch.tensor(seen, dtype=torch.float32), torch.tensor(times[None], dtype=torch.float32)
        )
    for name, tensor in LatentModel.of(network).state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])
    timbre = network.encode(note)
    np.testing.assert_allclose(timbre, mean[0], atol=1e-5)
    state = network.notes(timbre[None], np.array([60]), np.array([80]))
    decoded = network.frames(state.hidden, note.ticks, np.full(len(note.ticks), note.release))
    np.testing.assert_allclose(features.scaled(decoded.levels), frames[0, :, :LEVELS], atol=1e-4)
    np.testing.assert_allclose(decoded.alive, frames[0, :, -1], atol=1e-4)
    np.testing.assert_allclose(state.slot_cents[0], outputs[0, :80] * 200, atol=1e-2)


def test_a_file_keeps_the_network_and_its_presets(tmp_path: Path, network: LatentNetwork) -> None:
    presets = {"Marimba": np.arange(4.0), "Flute": -np.arange(4.0)}
    save_network(tmp_path / "a.safetensors", network, presets, {"data": "test"})
    found = read_network(tmp_path / "a.safetensors")
    assert isinstance(found, LatentFile)
    assert asdict(found.network.sizes) == asdict(SMALL)
    for name, value in network.weights.items():
        np.testing.assert_array_equal(found.network.weights[name], value)
    assert list(found.presets) == ["Marimba", "Flute"]
    np.testing.assert_array_equal(found.presets["Flute"], presets["Flute"])
    assert found.metadata == {"data": "test"}


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, network: LatentNetwork) -> None:
    path = tmp_path / "a.safetensors"
    save_network(path, network)
    whole = path.read_bytes()
    for data in (b"", b"RIFF", whole[:100], whole[:-40], whole.replace(b"neural-fx-latent", b"neural-fx-timbre")):
        path.write_bytes(data)
        with pytest.raises(ModelError, match=r"a\.safetensors"):
            read_network(path)
    with pytest.raises(ModelError, match=r"missing\.safetensors"):
        read_network(tmp_path / "missing.safetensors")


def test_wrong_weights_are_an_error() -> None:
    weights = random_weights()
    del weights["frame.gate.bias"]
    with pytest.raises(ValueError, match=r"frame\.gate\.bias"):
        LatentNetwork(weights)
    weights = random_weights()
    weights["note.second.weight"] = np.zeros((3, 3), np.float32)
    with pytest.raises(ValueError, match=r"note\.second\.weight.*\(12, 12\)"):
        LatentNetwork(weights)
