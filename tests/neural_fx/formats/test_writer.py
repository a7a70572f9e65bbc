"""What is written is read back as the same network, and by others."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neural_fx.engines.torch import TorchEngine
from neural_fx.formats import parse, read
from neural_fx.formats.nam_writer import nam_bytes
from neural_fx.networks import Network, Slimmable, WaveNet, walk
from tests.conftest import SHARED, esr, noise
from tests.neural_fx.formats.test_references import model_path

WAVENETS = [
    "wavenet", "wavenet_a1_standard", "wavenet_condition_dsp", "A2", "WaveNet_", "acts", "acts3", "blended",
    "bottleneck",
    "film_activation_post_film", "film_conv_pre_film", "film_layer1x1_post_film", "film_noshift", "gated", "groups",
    "head1x1", "headk", "kernel_sizes", "no_layer1x1", "plain", "posthead", "two",
]  # fmt: skip


def largest(network: Network) -> WaveNet:
    network = network.sizes[-1] if isinstance(network, Slimmable) else network
    assert isinstance(network, WaveNet)
    return network


def arrays(network: Network) -> list[np.ndarray]:
    return [value for part in walk(network) for value in vars(part).values() if isinstance(value, np.ndarray)]


@pytest.mark.parametrize("name", WAVENETS)
def test_every_wavenet_survives_the_round_trip(name: str, shared: object) -> None:
    network = largest(read(model_path(name)).network)
    data = nam_bytes(network, 48000, {"name": name})
    capture = parse(data)
    assert capture.metadata.name == name
    for before, after in zip(arrays(network), arrays(capture.network), strict=True):
        np.testing.assert_array_equal(before, after)
    outputs = []
    for played in (network, capture.network):
        stream = TorchEngine(played).stream(1)
        stream.reset(0, np.zeros(0, np.float32))
        outputs.append(stream.process(noise(2000, 1)[None]))
    np.testing.assert_array_equal(*outputs)
    assert parse(nam_bytes(largest(capture.network), 48000)).version == capture.version


@pytest.mark.parametrize("name", ["WaveNet1-ts7", "WaveNet2-muff"])
def test_an_smc_wavenet_becomes_a_nam(name: str, shared: object) -> None:
    """The paper's own models, in a file that every NAM player reads."""
    capture = read(SHARED / "models" / "wavenetva" / f"{name}.json")
    written = parse(nam_bytes(largest(capture.network), capture.sample_rate))
    assert (written.version, written.sample_rate) == ("0.7.0", 44100)
    x = noise(3000, 1, level=0.3)[None]
    streams = [TorchEngine(c.network).stream(1) for c in (capture, written)]
    for stream in streams:
        stream.reset(capture.prewarm, np.zeros(0, np.float32))
    assert esr(*(stream.process(x) for stream in streams)) <= 1e-12


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["gated", "blended", "headk", "film_conv_pre_film", "acts", "WaveNet1-ts7"])
def test_the_pypi_package_reads_what_is_written(name: str, shared: object) -> None:
    torch = pytest.importorskip("torch")
    nam = pytest.importorskip("nam.models", reason="PyPI neural-amp-modeler is not installed")
    wavenetva = SHARED / "models" / "wavenetva" / f"{name}.json"
    capture = read(wavenetva if wavenetva.exists() else model_path(name))
    network = largest(capture.network)
    model = nam.init_from_nam(json.loads(nam_bytes(network, 48000))).eval()
    x = np.concatenate((np.zeros(6000, np.float32), noise(3000)))
    with torch.inference_mode():
        theirs = model(torch.from_numpy(x)).numpy()[-3000:]
    stream = TorchEngine(network).stream(1)
    stream.reset(6000, np.zeros(0, np.float32))
    assert esr(theirs, stream.process(noise(3000, 1)[None])[0, 0]) <= 1e-10


def test_what_the_format_cannot_say_is_refused() -> None:
    from dataclasses import replace

    from neural_fx.networks import Activation
    from neural_fx.training.architectures import untrained

    network = untrained("a1-nano")
    odd = [replace(layer, activation=Activation("elu")) for layer in network.arrays[0].layers]
    with pytest.raises(ValueError, match="no activation 'elu'"):
        nam_bytes(replace(network, arrays=(replace(network.arrays[0], layers=tuple(odd)), network.arrays[1])), 48000)
