import json
import pickle

import numpy as np
import pytest
import torch

from neural_fx.engines import cpu
from neural_fx.errors import ModelError
from neural_fx.timbre.decoder import Shape
from neural_fx.timbre.files import Habits, read_timbre, timbre_bytes
from neural_fx.training.timbre.model import TimbreModel
from tests.neural_fx.timbre.makers import timbre


def as_bytes(made):
    return timbre_bytes(made.decoder.shape, made.decoder.w, made.reverb, made.habits, {"name": made.name})


def test_round_trip(tmp_path):
    made = timbre()
    (tmp_path / "a.safetensors").write_bytes(as_bytes(made))
    read = read_timbre(tmp_path / "a.safetensors")
    assert read.name == "made"
    assert read.habits == made.habits
    assert np.array_equal(read.reverb, made.reverb)
    assert all(np.array_equal(read.decoder.w[k], v) for k, v in made.decoder.w.items())


@pytest.mark.parametrize("kernels", [True, False])
def test_decodes_as_torch_does(kernels, monkeypatch):
    if kernels and not cpu.available():
        pytest.skip("the kernels were not built")
    if not kernels:
        monkeypatch.setattr(cpu, "core", None)
    torch.manual_seed(0)
    shape = Shape(24, 37, 600)
    model = TimbreModel(shape)
    with torch.no_grad():
        for value in model.parameters():
            value += 0.1 * torch.randn(value.shape)
    data = {k: v.numpy() for k, v in model.state_dict().items()}
    from neural_fx.timbre.decoder import Decoder

    decoder = Decoder(shape, data)
    rng = np.random.default_rng(0)
    f0, sure, loud = rng.uniform(80, 2000, (9, 40)), rng.random((9, 40)), rng.uniform(-70, -10, (9, 40))
    with torch.no_grad():
        tones, noise = model.controls(*(torch.from_numpy(x.astype(np.float32)) for x in (f0, sure, loud)))
    first, state = decoder.decode(f0[:, :13], sure[:, :13], loud[:, :13], decoder.start(9))
    second, _ = decoder.decode(f0[:, 13:], sure[:, 13:], loud[:, 13:], state)
    got = [
        np.concatenate(parts, 1)
        for parts in zip((first.amplitudes, first.magnitudes), (second.amplitudes, second.magnitudes))
    ]
    for mine, theirs in zip(got, (tones.numpy(), noise.numpy())):
        assert np.abs(mine - theirs).max() < 2e-5 * np.abs(theirs).max()


def damaged(data, **changes):
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    about = json.loads(header["__metadata__"]["neural-fx"])
    about.update(changes)
    header["__metadata__"]["neural-fx"] = json.dumps({k: v for k, v in about.items() if v is not None})
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "neural-fx-pedal"}, "format"),
        ({"version": 2}, "version"),
        ({"hidden": 17}, "pitch.0.weight"),
        ({"hidden": None}, "hidden"),
        ({"harmonics": 0}, "harmonics"),
        ({"habits": {}}, "habits"),
        ({"habits": {**vars(Habits()), "low_hz": 2000.0}}, "high_hz"),
        ({"habits": {**vars(Habits()), "attack_seconds": "soon"}}, "attack_seconds"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, words):
    path = tmp_path / "x.safetensors"
    path.write_bytes(damaged(as_bytes(timbre()), **change))
    with pytest.raises(ModelError, match=words) as error:
        read_timbre(path)
    assert "x.safetensors" in str(error.value)


def test_other_files(tmp_path):
    path = tmp_path / "x.safetensors"
    data = as_bytes(timbre())
    for wrong in (b"", b"RIFF", pickle.dumps({"a": 1}), data[:200], data[:-50]):
        path.write_bytes(wrong)
        with pytest.raises(ModelError, match=r"x\.safetensors"):
            read_timbre(path)
    with pytest.raises(ModelError, match="cannot be read"):
        read_timbre(tmp_path / "none.safetensors")


def test_no_numbers_that_are_none(tmp_path):
    made = timbre()
    made.decoder.w["head.bias"][3] = np.nan
    (tmp_path / "x.safetensors").write_bytes(as_bytes(made))
    with pytest.raises(ModelError, match=r"head\.bias"):
        read_timbre(tmp_path / "x.safetensors")
