"""Each JSON format against a second implementation, written here in plain numpy, sample by sample, in float64."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neural_fx
from tests.conftest import SHARED, esr, guitarml_document, noise


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm(x: np.ndarray, w: np.ndarray, u: np.ndarray, b: np.ndarray, order: str = "ifgo") -> np.ndarray:
    """(n, in) -> (n, H), gate rows in the given order, zero start."""
    hidden = u.shape[1]
    h = c = np.zeros(hidden)
    out = []
    for row in x:
        z = dict(zip(order, np.split(w @ row + u @ h + b, 4), strict=True))
        c = sigmoid(z["f"]) * c + sigmoid(z["i"]) * np.tanh(z["g"])
        h = sigmoid(z["o"]) * np.tanh(c)
        out.append(h)
    return np.array(out)


def gru(x: np.ndarray, w: np.ndarray, u: np.ndarray, bw: np.ndarray, bu: np.ndarray, order: str) -> np.ndarray:
    h = np.zeros(u.shape[1])
    out = []
    for row in x:
        a = dict(zip(order, np.split(w @ row + bw, 3), strict=True))
        b = dict(zip(order, np.split(u @ h + bu, 3), strict=True))
        r, z = sigmoid(a["r"] + b["r"]), sigmoid(a["z"] + b["z"])
        h = (1 - z) * np.tanh(a["n"] + r * b["n"]) + z * h
        out.append(h)
    return np.array(out)


@pytest.mark.parametrize("unit", ["LSTM", "GRU"])
@pytest.mark.parametrize(("inputs", "layers", "skip"), [(1, 1, 0), (2, 1, 1), (3, 2, 1)])
def test_guitarml(unit: str, inputs: int, layers: int, skip: int, write: Callable[..., Path]) -> None:
    document = guitarml_document(unit, inputs, 5, layers, skip)
    processor = neural_fx.load(write(document, "proteus.json"))
    knobs = dict(zip(("gain", "master"), (0.25, 0.8), strict=True))
    names = list(knobs)[: inputs - 1]
    for name in names:
        setattr(processor, name, knobs[name])
    x = noise(600, seed=3, level=0.3)
    signal = np.stack([x, *[np.full(600, knobs[n]) for n in names]], 1).astype(np.float64)
    state = {k: np.array(v) for k, v in document["state_dict"].items()}
    for i in range(layers):
        w, u, bw, bu = (state[f"rec.{k}_l{i}"] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        signal = lstm(signal, w, u, bw + bu) if unit == "LSTM" else gru(signal, w, u, bw, bu, "rzn")
    expected = signal @ state["lin.weight"][0] + state["lin.bias"][0] + skip * x
    assert esr(expected, processor(x, 44100)) <= 1e-10


def causal(x: np.ndarray, kernel: np.ndarray, dilation: int) -> np.ndarray:
    """(n, in) with kernel (taps, in, out), last tap = now -> (n, out)."""
    taps = len(kernel)
    padded = np.concatenate((np.zeros(((taps - 1) * dilation, x.shape[1])), x))
    return sum(padded[k * dilation : k * dilation + len(x)] @ kernel[k] for k in range(taps))


RTNEURAL_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": sigmoid,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True),
}


def rtneural(document: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """(n, in) -> (n, out), from the file's own Keras layout."""
    for layer in document["layers"]:
        kind, weights = layer["type"], [np.array(w, np.float64) for w in layer["weights"]]
        act = RTNEURAL_ACTIVATIONS[layer["activation"]]
        if kind in ("dense", "time-distributed-dense"):
            x = act(x @ weights[0] + (weights[1] if len(weights) > 1 else 0))
        elif kind == "conv1d":
            groups, kernel = layer.get("groups", 1), weights[0]
            parts_in, parts_out = np.split(x, groups, 1), np.split(kernel, groups, 2)
            pairs = zip(parts_in, parts_out, strict=True)
            x = act(np.concatenate([causal(p, k, layer["dilation"][0]) for p, k in pairs], 1) + weights[1])
        elif kind == "lstm":
            x = lstm(x, weights[0].T, weights[1].T, weights[2])
        elif kind == "gru":
            x = gru(x, weights[0].T, weights[1].T, *weights[2], order="zrn")
        elif kind == "prelu":
            x = np.where(x > 0, x, x * weights[0].ravel())
        elif kind == "batchnorm":
            mean, var = weights[-2:]
            gamma, beta = weights[:2] if len(weights) == 4 else (1, 0)
            x = (x - mean) / np.sqrt(var + layer["epsilon"]) * gamma + beta
        elif kind == "activation":
            x = act(x)
    return x


@pytest.mark.parametrize("name", ["conv", "dense", "full_model", "gru", "lstm", "lstm_1d"])
def test_rtneural(name: str, shared: Path) -> None:
    path = SHARED / "models" / "rtneural" / f"{name}.json"
    x = noise(1500, seed=2, level=0.5)
    expected = rtneural(json.loads(path.read_text()), x[:, None].astype(np.float64))[:, 0]
    assert esr(expected, neural_fx.load(path)(x, 48000)) <= 1e-10


def aida_document(skip: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    hidden, inputs = 8, 2
    layers = [
        {"type": "lstm", "activation": "", "shape": [None, None, hidden],
         "weights": [rng.uniform(-0.5, 0.5, s).tolist() for s in ((inputs, 32), (hidden, 32), (32,))]},
        {"type": "dense", "activation": "", "shape": [None, None, 1],
         "weights": [rng.uniform(-0.5, 0.5, s).tolist() for s in ((hidden, 1), (1,))]},
    ]  # fmt: skip
    document: dict[str, Any] = {"in_shape": [None, None, inputs], "layers": layers, "in_skip": skip,
        "in_gain": 6.0, "out_gain": -3.0, "metadata": {"name": "ink", "samplerate": "48000"}}  # fmt: skip
    x = rng.uniform(-0.5, 0.5, 2048)
    flat = {**document, "in_gain": 0.0}
    y = rtneural(flat, np.stack([x, np.zeros(2048)], 1))[:, 0] + skip * x
    document |= {"input_batch": x.tolist(), "output_batch": y.tolist()}
    return document


def test_aida_gains_skip_knobs_and_prewarm(write: Callable[..., Path]) -> None:
    document = aida_document()
    processor = neural_fx.load(write(document, "ink.aidax"), param1=0.6)
    x = noise(500, seed=8)
    driven = x * 10 ** (6 / 20)
    warm = np.concatenate((np.zeros(2048), driven))
    net = rtneural(document, np.stack([warm, np.full(2548, 0.6)], 1))[2048:, 0]
    assert esr(10 ** (-3 / 20) * (net + driven), processor(x, 48000)) <= 1e-10


def test_aida_self_test(write: Callable[..., Path]) -> None:
    """The batch is for gains of 0 dB, whatever gains the file asks for."""
    good = aida_document()
    assert neural_fx.load(write(good)).self_test() < 1e-9
    bad = {**good, "output_batch": [0.5] * 2048}
    assert neural_fx.load(write(bad)).self_test() > 0.01
    assert neural_fx.load(write(guitarml_document())).self_test() is None


WAVENETVA: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "gated": lambda a, b: np.tanh(a) * sigmoid(b),
    "softgated": lambda a, b: a / (1 + np.abs(a)) * (b / (1 + np.abs(b))),
    "tanh": lambda a, b: np.tanh(a),
    "sigmoid": lambda a, b: sigmoid(a),
    "relu": lambda a, b: np.maximum(a, 0),
    "softsign": lambda a, b: a / (1 + np.abs(a)),
    "linear": lambda a, b: a,
}


def wavenetva(document: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """(n, in) -> (n,), straight from the paper."""
    data = {(v["layer_idx"], v["name"]): np.array(v["data"], np.float64) for v in document["variables"]}
    c, taps, dilations = document["residual_channels"], document["filter_width"], document["dilations"]
    wide = 2 * c if "gated" in document["activation"] else c
    h = x @ data[-1, "W"].reshape(-1, c) + data[-1, "b"]
    skips = []
    for i, dilation in enumerate(dilations):
        a = causal(h, data[i, "W_conv"].reshape(taps, c, wide), dilation) + data[i, "b_conv"]
        z = WAVENETVA[document["activation"]](a[:, :c], a[:, c:])
        skips.append(z)
        h = h + z @ data[i, "W_out"].reshape(c, c) + data[i, "b_out"]
    count = len(dilations)
    return np.concatenate(skips, 1) @ data[count, "W"] + data[count, "b"]


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("pedal", ["ts7", "ds1", "muff"])
def test_wavenetva_files(size: int, pedal: str, shared: Path) -> None:
    path = SHARED / "models" / "wavenetva" / f"WaveNet{size}-{pedal}.json"
    x = noise(3000, seed=1, level=0.2)
    processor = neural_fx.load(path)
    warm = np.concatenate((np.zeros(processor.capture.prewarm + 1), x))
    expected = wavenetva(json.loads(path.read_text()), warm[:, None])[-len(x) :]
    assert esr(expected, processor(x, 44100)) <= 1e-10


@pytest.mark.parametrize("activation", list(WAVENETVA))
@pytest.mark.parametrize("inputs", [1, 2])
def test_wavenetva_activations_and_knob(activation: str, inputs: int, write: Callable[..., Path]) -> None:
    rng = np.random.default_rng(4)
    c, taps, dilations = 3, 3, [1, 2, 4]
    wide = 2 * c if "gated" in activation else c
    shapes = {(-1, "W"): inputs * c, (-1, "b"): c, (3, "W"): 3 * c, (3, "b"): 1}
    for i in range(3):
        shapes |= {(i, "W_conv"): taps * c * wide, (i, "b_conv"): wide, (i, "W_out"): c * c, (i, "b_out"): c}
    variables = [
        {"layer_idx": i, "name": n, "data": [str(v) for v in rng.uniform(-0.5, 0.5, s)]} for (i, n), s in shapes.items()
    ]
    document = {"activation": activation, "output_channels": 1, "input_channels": inputs, "residual_channels": c,
                "filter_width": taps, "dilations": dilations, "variables": variables}  # fmt: skip
    processor = neural_fx.load(write(document, "pedal.json"))
    knobs = [0.7] * (inputs - 1)
    if knobs:
        processor.gain = 0.7
    x = noise(400, seed=6, level=0.4)
    warm = np.concatenate((np.zeros(64), x))
    full = np.stack([warm, *[np.full(464, k) for k in knobs]], 1)
    assert esr(wavenetva(document, full)[64:], processor(x, 44100)) <= 1e-10
