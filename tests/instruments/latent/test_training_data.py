"""The data of a training: its arrays, its file, the inputs that torch computes, and random batches."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from instruments.latent import features
from instruments.latent.frames import LEVELS, SILENT_DB, SLOTS, NoteFrames, frame_ticks
from instruments.latent.noise import CENTRES
from instruments.latent.parameters import HARMONICS
from neural_fx.errors import ModelError

torch = pytest.importorskip("torch")

from instruments.latent.training import Dataset, InstrumentNotes, dataset_of, inputs, load_dataset, mel, save_dataset  # noqa: E402  # noqa: E402
from instruments.latent.training.batches import Batches  # noqa: E402
from instruments.latent.training.dataset import thinned  # noqa: E402
from instruments.latent.training.losses import Weights, losses  # noqa: E402
from instruments.latent.training.notes import DeviceNotes  # noqa: E402
from instruments.latent.training.variations import Variation, random_mixture, shifted_noise  # noqa: E402

CPU = torch.device("cpu")


def note(pitch: float, velocity: float, release: int, seed: int) -> NoteFrames:
    """Return a note of random levels that decays by 30 dB."""
    rng = np.random.default_rng(seed)
    ticks = frame_ticks(release, release + 100)
    levels = rng.uniform(-110, -10, LEVELS) - 30 * ticks[:, None] / ticks[-1] + rng.normal(0, 1, (len(ticks), LEVELS))
    return NoteFrames(
        pitch=pitch,
        velocity=velocity,
        release=release,
        end=release + 100,
        ticks=ticks,
        levels=np.maximum(levels, SILENT_DB),
        cents=rng.uniform(-20, 20, len(ticks)),
        inharmonicity=1e-4,
        slot_cents=rng.uniform(-50, 50, SLOTS),
    )


def instrument(name: str, seed: int, held_out: bool = False) -> InstrumentNotes:
    notes = [
        note(pitch, velocity, release, seed + i)
        for i, (pitch, velocity, release) in enumerate(
            (p, v, r) for p in (48, 52, 60, 64) for v, r in ((40, 600), (80, 160), (120, 600))
        )
    ]
    return InstrumentNotes(name, notes, held_out, frozenset([52.0]))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset_of([instrument("a/000", 0), instrument("a/001", 100), instrument("a/002", 200, held_out=True)])


@pytest.fixture(scope="module")
def notes(data: Dataset) -> DeviceNotes:
    return DeviceNotes(data, CPU)


def test_a_dataset_keeps_notes_within_half_a_step(data: Dataset) -> None:
    source = instrument("a/001", 100).notes
    for i, wanted in enumerate(source, 12):
        found = data.note(i)
        floor = features.floor_of(wanted)
        np.testing.assert_array_equal(found.ticks, wanted.ticks)
        np.testing.assert_allclose(np.maximum(found.levels, floor), np.maximum(wanted.levels, floor), atol=0.2501)
        np.testing.assert_allclose(found.cents, wanted.cents, atol=0.501)
        np.testing.assert_allclose(found.slot_cents, wanted.slot_cents, atol=0.501)
        assert (found.pitch, found.velocity, found.release, found.end) == (
            wanted.pitch,
            wanted.velocity,
            wanted.release,
            wanted.end,
        )


def test_thinning_keeps_the_first_frame_and_the_dense_ones() -> None:
    source = note(60, 80, 600, 0)
    kept = thinned(source, 0.2, np.random.default_rng(0))
    assert kept[0] == 0
    assert set(range(5)) <= set(source.ticks[kept].tolist())
    assert len(kept) < 0.5 * len(source.ticks)
    assert np.diff(source.ticks[kept]).max() <= 64
    np.testing.assert_array_equal(thinned(source, 0.0, np.random.default_rng(0)), np.arange(len(source.ticks)))
    packed = dataset_of([InstrumentNotes("a", [source])], thinning=0.2)
    assert packed.weights.sum() == len(source.ticks)


def test_a_packed_file_keeps_everything(data: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "frames.npz"
    save_dataset(path, data)
    found = load_dataset(path)
    for f in fields(Dataset):
        np.testing.assert_array_equal(getattr(found, f.name), getattr(data, f.name))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"frames\.npz"):
        load_dataset(path)


def test_torch_computes_the_same_inputs(data: Dataset, notes: DeviceNotes) -> None:
    pitches, velocities = np.array([24.0, 60.5, 108.0]), np.array([1.0, 80.0, 127.0])
    found = inputs.note_features(torch.tensor(pitches), torch.tensor(velocities))
    np.testing.assert_allclose(found, features.note_features(pitches, velocities), atol=1e-6)
    ticks, releases = np.array([0.0, 5.0, 700.0, 700.0]), np.array([600.0, 600.0, 600.0, 900.0])
    found = inputs.time_features(torch.tensor(ticks), torch.tensor(releases))
    np.testing.assert_allclose(found, features.time_features(ticks, releases), atol=1e-6)
    for i in notes.long:
        found = inputs.scaled(notes.summaries(torch.tensor([i])))[0]
        np.testing.assert_allclose(found, features.summary(data.note(int(i))), atol=0.02)


def test_batches_are_frames_of_the_notes(data: Dataset, notes: DeviceNotes) -> None:
    torch.manual_seed(0)
    chosen = torch.tensor([0, 13])
    wanted = Batches(notes, Variation(shifted=0.0)).wanted(chosen, 50)
    for row, index in enumerate(chosen.tolist()):
        source = data.note(index)
        floor = features.floor_of(source)
        rows = np.maximum(source.levels, floor)
        for levels, alive in zip(wanted.levels[row].numpy(), wanted.alive[row]):
            expected = rows[np.abs(rows - levels).sum(axis=1).argmin()] if alive else np.full(LEVELS, floor)
            np.testing.assert_allclose(levels, expected, atol=0.01)


def test_variations_keep_the_range_of_notes(notes: DeviceNotes) -> None:
    torch.manual_seed(0)
    batch = Batches(notes, Variation(shifted=1.0, equalised=1.0)).random(64, 30)
    assert not batch.own.any()
    assert (batch.wanted.levels >= batch.wanted.floors[:, None, None]).all()
    assert ((batch.wanted.pitches - 48) % 1 != 0).any()
    assert Batches(notes).random(64, 4).own.all()
    assert not set(batch.instruments.tolist()) - {0, 1}


def test_noise_moves_with_the_pitch() -> None:
    levels = torch.zeros(1, 1, LEVELS)
    levels[..., HARMONICS + SLOTS :] = torch.tensor(np.log2(CENTRES) * 10, dtype=torch.float32)
    moved = shifted_noise(levels, torch.tensor([12.0]), torch.tensor(CENTRES, dtype=torch.float32))[0, 0]
    # An octave up, what was at half the frequency is at this one.
    np.testing.assert_allclose(moved[20:50], np.log2(CENTRES[20:50]) * 10 - 10, atol=0.3)


def test_mixtures_lie_between_two_notes(data: Dataset, notes: DeviceNotes) -> None:
    torch.manual_seed(0)
    batches = Batches(notes, Variation(shifted=0.0, mixed=1.0))
    encoded = torch.tensor([[0, 0, 0], [2, 2, 2]])
    for _ in range(20):
        mixture = random_mixture(notes, torch.tensor([1, 2]), encoded, 1.0)
        for row, (own, other) in enumerate(zip((1, 2), mixture.wanted.tolist())):
            assert other in (own, own + 12)
            assert data.table[own, :3].tolist() == data.table[other, :3].tolist()
            assert mixture.encoded[row].tolist() == [(0, 2)[row] + other - own] * 3
    mixture.wanted[:] = torch.tensor([13, 14])
    mixture.shares[:] = torch.tensor([1.0, 0.0])
    wanted = batches.wanted(torch.tensor([1, 2]), 20, mixture=mixture)
    other = np.maximum(data.note(13).levels, features.floor_of(data.note(13)))
    for levels, alive in zip(wanted.levels[0].numpy(), wanted.alive[0]):
        if alive and levels.max() > levels.min():
            assert np.abs(other - levels).mean(axis=1).min() < 0.01


def test_mel_power_counts_each_sinusoid_once() -> None:
    shares = mel.sinusoid_shares(60)
    np.testing.assert_allclose(shares[:60].sum(axis=1), 1, atol=1e-9)
    assert shares[0].argmax() == np.searchsorted(mel.band_edges(), 261.6) - 1
    power = mel.MelPower(CPU)
    levels = torch.full((1, 1, LEVELS), -200.0)
    levels[..., 3] = -20
    assert float(power(levels, torch.tensor([60.0])).sum()) == pytest.approx(0.01, rel=1e-4)


def test_right_answers_cost_nothing_and_missed_partials_most(notes: DeviceNotes) -> None:
    torch.manual_seed(0)
    wanted = Batches(notes, Variation(shifted=0.0)).wanted(torch.tensor([0, 1]), 8)
    power = mel.MelPower(CPU)
    frames = torch.cat(
        (inputs.scaled(wanted.levels), wanted.cents[..., None], 40 * wanted.alive[..., None] - 20), dim=-1
    )
    outputs = torch.cat((wanted.slot_cents, wanted.inharmonicities[:, None]), dim=1)
    parts = losses(frames, outputs, wanted, power, Weights())
    assert all(float(value) < 1e-5 for value in parts.values())
    missed, louder = frames.clone(), frames.clone()
    missed[..., HARMONICS : HARMONICS + SLOTS] -= 0.5
    louder[..., HARMONICS : HARMONICS + SLOTS] += 0.5
    costs = [float(losses(x, outputs, wanted, power, Weights())["slots"]) for x in (missed, louder)]
    assert costs[0] > 1.3 * costs[1]
