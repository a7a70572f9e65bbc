"""Read `.nam` files 0.5.0 to 0.7.x: WaveNet, LSTM, ConvNet, Linear, SlimmableContainer.

The format is that of Neural Amp Modeler. Its Python trainer and its C++ engine read some files differently. This
reader follows the C++ engine, with its published fix for `layer1x1_post_film`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

import numpy as np

from neural_fx.errors import ModelError
from neural_fx.formats import activations
from neural_fx.formats.capture import Capture, Metadata
from neural_fx.formats.nam_wavenet import read_wavenet
from neural_fx.formats.reader import MAX_BYTES, MAX_CHANNELS, MAX_DEPTH, MAX_DILATION, MAX_KERNEL, Node, Weights
from neural_fx.formats.registry import Content, Format
from neural_fx.networks import (
    Affine,
    Conv,
    Network,
    Recurrent,
    RecurrentLayer,
    Sequential,
    Slimmable,
    Stage,
    is_recurrent,
)

LATEST = (0, 7)
DEFAULT_RATE = 48000.0


def matches(content: Content) -> bool:
    """Return whether a file looks like a `.nam` file."""
    return content.has_keys("architecture", "weights") or content.has_keys("architecture", "config")


def read(root: Node) -> Capture:
    """Read the capture in a parsed `.nam` file.

    Raises:
        ModelError: names the field that is wrong.
    """
    network = read_model(root, depth=0)
    # The C++ engine runs silence for one receptive field, or for half a second if there are recurrent layers.
    rate = _sample_rate(root)
    prewarm = max(network.receptive_field, int(rate / 2) if is_recurrent(network) else 0)
    knobs = {f"knob{i}": 0.5 for i in range(1, network.in_channels)}
    return Capture(
        format="nam",
        architecture=root["architecture"].string(),
        network=network,
        sample_rate=rate,
        parameter_count=_count(root),
        version=root["version"].string(),
        metadata=Metadata.read(root.mapping().get("metadata")),
        knobs=knobs,
        prewarm=prewarm,
    )


def read_model(root: Node, depth: int) -> Network:
    """Read the network of a `.nam` object.

    Args:
        root: the object. It may be nested in another one.
        depth: how many objects it is nested in; at most `MAX_DEPTH`.

    Raises:
        ModelError: names the field that is wrong.
    """
    if depth > MAX_DEPTH:
        raise ModelError(f"models nested more than {MAX_DEPTH} deep", root.path)
    _check_version(root["version"])
    architecture = root["architecture"].string()
    config = root["config"]
    if architecture in ("CatLSTM", "CatWaveNet"):
        raise ModelError(
            f"{architecture} (knobs as parameters) was withdrawn from the format in 2024 and no current player reads "
            "it; export a snapshot with the trainer version that made it, or train again",
            root["architecture"].path,
        )
    if architecture == "SlimmableContainer":
        return _container(config, depth)
    weights = Weights(root["weights"].floats(), root["weights"].path)
    if architecture == "WaveNet":
        network: Network = read_wavenet(config, weights, lambda node: _condition(node, root, depth))
    elif architecture in _SEQUENTIAL:
        network = _SEQUENTIAL[architecture](config, weights)
    else:
        known = ["WaveNet", *_SEQUENTIAL, "SlimmableContainer"]
        raise ModelError(f"unknown architecture {architecture!r}; known: {', '.join(known)}", root["architecture"].path)
    return network


def _check_version(node: Node) -> None:
    match = re.fullmatch(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})", node.string())
    if not match:
        node.fail("a version like 0.7.0")
    major_minor = int(match[1]), int(match[2])
    if not (0, 5) <= major_minor <= LATEST:
        raise ModelError(f"version {node.value} is not supported; 0.5.0 to 0.7.x are", node.path)
    if major_minor == LATEST and int(match[3]) > 0:
        warnings.warn(f".nam version {node.value} is newer than 0.7.0; reading it as 0.7.0", stacklevel=2)


def _sample_rate(root: Node) -> float:
    rate = root.get("sample_rate")
    if rate is None or rate.value == -1:
        return DEFAULT_RATE
    return rate.number(1000, 768000)


def _condition(node: Node, parent: Node, depth: int) -> Network:
    if _sample_rate(node) != _sample_rate(parent):
        raise ModelError("its sample_rate differs from its parent's", node.path)
    return read_model(node, depth + 1)


def _container(config: Node, depth: int) -> Network:
    submodels = config["submodels"].items(64, 1)
    limits = [s["max_value"].number(0, 1e6) for s in submodels]
    if limits != sorted(limits) or limits[-1] < 1:
        raise ModelError("max_value must ascend and end at 1 or more", config["submodels"].path)
    networks = tuple(read_model(s["model"], depth + 1) for s in submodels)
    rates = {_sample_rate(s["model"]) for s in submodels}
    if len(rates) > 1:
        raise ModelError(f"submodels of different sample rates {sorted(rates)}", config["submodels"].path)
    if any(n.in_channels != 1 or n.out_channels != 1 for n in networks):
        raise ModelError("submodels must be mono in, mono out", config["submodels"].path)
    return Slimmable(networks, tuple(limits))


def _count(root: Node) -> int:
    """Return the number of weights, with those of nested models. A container counts as its largest submodel."""
    if root["architecture"].value == "SlimmableContainer":
        return _count(root["config"]["submodels"].items()[-1]["model"])
    nested = root["config"].get("condition_dsp")
    return len(root["weights"].items(MAX_BYTES)) + (_count(nested) if nested else 0)


def _channels(config: Node) -> tuple[int, int]:
    """Return (in_channels, out_channels), which are 1 unless the config states them."""
    found = [config[k].integer(1, 64) if k in config else 1 for k in ("in_channels", "out_channels")]
    return found[0], found[1]


def _lstm(config: Node, weights: Weights) -> Sequential:
    inputs, outputs = _channels(config)
    width = inputs = config["input_size"].integer(1, 64) if "input_size" in config else inputs
    hidden = config["hidden_size"].integer(1, MAX_CHANNELS)
    layers = []
    for _ in range(config["num_layers"].integer(1, 64)):
        both = weights.take(4 * hidden, width + hidden)
        bias = weights.take(4 * hidden)
        h0, c0 = weights.take(hidden), weights.take(hidden)
        layers.append(RecurrentLayer(both[:, :width], both[:, width:], bias, np.zeros_like(bias), h0, c0))
        width = hidden
    head = weights.conv(outputs, hidden, bias=False)
    head = Conv(head.weight, weights.take(outputs))
    weights.done()
    return Sequential(inputs, outputs, (Recurrent("lstm", tuple(layers)), head))


def _convnet(config: Node, weights: Weights) -> Sequential:
    inputs, outputs = _channels(config)
    channels = config["channels"].integer(1)
    groups = config["groups"].integer(1) if "groups" in config else 1
    batchnorm = config["batchnorm"].boolean()
    stages: list[Stage] = []
    width = inputs
    for dilation in config["dilations"].integers(1, MAX_DILATION):
        stages.append(weights.conv(channels, width, 2, bias=not batchnorm, dilation=dilation, groups=groups))
        if batchnorm:
            mean, var, gamma, beta = (weights.take(channels) for _ in range(4))
            stages.append(affine(mean, var, gamma, beta, float(weights.take(1)[0])))
        stages.append(activations.nam(config["activation"], channels))
        width = channels
    stages.append(weights.conv(outputs, channels, bias=True))
    weights.done()
    return Sequential(inputs, outputs, tuple(stages))


def affine(mean: np.ndarray, var: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float) -> Affine:
    """Convert a batch normalisation at inference to a scale and a shift.

    Args:
        mean: (channels,), the running mean.
        var: (channels,), the running variance.
        gamma: (channels,), the learned scale.
        beta: (channels,), the learned shift.
        epsilon: added to the variance.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = gamma.astype(np.float64) / np.sqrt(var.astype(np.float64) + epsilon)
        shift = beta - mean * scale
    return Affine(np.nan_to_num(scale).astype(np.float32), np.nan_to_num(shift).astype(np.float32))


def _linear(config: Node, weights: Weights) -> Sequential:
    inputs, outputs = _channels(config)
    taps = config["receptive_field"].integer(1, MAX_KERNEL)
    response = weights.take(outputs, inputs, taps)[..., ::-1]  # the file has the tap of the current sample first
    bias = weights.take(outputs) if "bias" in config and config["bias"].boolean() else None
    weights.done()
    return Sequential(inputs, outputs, (Conv(response, bias),))


_SEQUENTIAL: dict[str, Callable[[Node, Weights], Sequential]] = {
    "LSTM": _lstm,
    "ConvNet": _convnet,
    "Linear": _linear,
}


FORMAT = Format(".nam", matches, lambda content: read(content.root), suffixes=(".nam",))
