"""Read and write our own file for a capture with knobs.

The file is a safetensors archive (see `neural_fx.formats.archive`). Its description has these fields:

- ``format`` (``neural-fx-pedal``) and ``version`` (1);
- ``sample_rate`` in Hz, ``prewarm`` in samples, and ``metadata``;
- ``knobs``: a list of ``{"name", "default", "levels"}``. A knob with ``levels: true`` only sets the output gain, by the
  tensor ``levels.INDEX``. The others go into the dense layers ``dense.0``, ``dense.1``, ...;
- ``head_scale``;
- ``stacks``: the ``dilations`` and the ``activation`` of the layers of each stack. The activation is ``tanh``, or
  ``leaky_relu`` with a ``slope``.

Tensors are float32 in torch's shapes. Every stack I has these, for each of its layers J:

- ``stacks.I.rechannel.weight``;
- ``stacks.I.layers.J.conv.weight`` and ``.bias``, ``.mixin.weight``, ``.residual.weight`` and ``.bias``;
- ``stacks.I.head.weight`` and ``.bias``.

`neural_fx.networks.Knobbed` explains what they mean. Layers are not gated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neural_fx.arrays import Array
from neural_fx.errors import ModelError
from neural_fx.formats.archive import Tensors, archive_bytes, open_archive
from neural_fx.formats.archive import matches as archive_matches
from neural_fx.formats.capture import Capture, Metadata
from neural_fx.formats.reader import MAX_CHANNELS, MAX_DILATION, MAX_KERNEL, Node
from neural_fx.formats.registry import Content, Format
from neural_fx.networks import Activation, Conv, Dense, Knobbed, Layer, LayerArray, Level, WaveNet
from neural_fx.networks.knobbed.folding import modulation_sizes

KIND = "neural-fx-pedal"
MOST_KNOBS = 32


def read(data: bytes) -> Capture:
    """Read the capture in a pedal file.

    Args:
        data: the whole file.

    Raises:
        ModelError: the archive or its description is damaged, incomplete or contradictory. Names the field.
    """
    root, tensors = open_archive(data, KIND)
    stacks = root["stacks"].items(16, 1)
    network = WaveNet(
        tuple(_stack(tensors, i, node) for i, node in enumerate(stacks)), root["head_scale"].number(-1e6, 1e6)
    )
    _check_chain(network)
    knobs = root["knobs"].items(MOST_KNOBS, 1)
    levels = {i for i, node in enumerate(knobs) if "levels" in node and node["levels"].boolean()}
    learned = tuple(i for i in range(len(knobs)) if i not in levels)
    knobbed = Knobbed(
        network,
        learned,
        _dense(tensors, len(learned), sum(modulation_sizes(network))) if learned else _constant(network),
        tuple(Level(i, tensors.take(f"levels.{i}", None)) for i in sorted(levels)),
    )
    for level in knobbed.levels:
        if not 2 <= len(level.gains) <= 1001:
            raise ModelError(f"expected 2 to 1001 gains, found {len(level.gains)}", f"levels.{level.index}")
    tensors.done()
    return Capture(
        "pedal",
        "WaveNet with knobs",
        knobbed,
        root["sample_rate"].number(1000, 768000),
        tensors.count,
        version="1",
        metadata=Metadata.read(root["metadata"].value if "metadata" in root else None),
        knobs={_name(node): node["default"].number(0, 1) for node in knobs},
        prewarm=root["prewarm"].integer(0, 2**20),
    )


def pedal_bytes(
    network: Knobbed, knobs: Mapping[str, float], sample_rate: float, metadata: Mapping[str, Any] | None = None
) -> bytes:
    """Return the bytes of a pedal file.

    Args:
        network: stacks of plain layers: not gated, with residuals, with tanh or leaky ReLU.
        knobs: default rotations 0..1 by name, in the network's order.
        sample_rate: Hz at which the network runs.
        metadata: as in a `.nam` file.

    Raises:
        ValueError: the network has parts that the format cannot hold.
    """
    tensors: dict[str, Array] = {}

    def put(name: str, conv: Conv) -> None:
        tensors[f"{name}.weight"] = conv.weight
        if conv.bias is not None:
            tensors[f"{name}.bias"] = conv.bias

    for i, stack in enumerate(network.network.arrays):
        put(f"stacks.{i}.rechannel", stack.rechannel)
        for j, layer in enumerate(stack.layers):
            known = layer.activation.name in ("tanh", "leaky_relu") and layer.activation == stack.layers[0].activation
            if layer.residual is None or not known or layer.gating != "none" or layer.films or layer.head:
                raise ValueError(
                    "a pedal file holds plain layers only: tanh or leaky ReLU, no gate, no FiLM, a residual"
                )
            put(f"stacks.{i}.layers.{j}.conv", layer.conv)
            put(f"stacks.{i}.layers.{j}.mixin", layer.mixin)
            put(f"stacks.{i}.layers.{j}.residual", layer.residual)
        put(f"stacks.{i}.head", stack.head)
    for i, dense in enumerate(network.dense):
        tensors |= {f"dense.{i}.weight": dense.weight, f"dense.{i}.bias": dense.bias}
    for level in network.levels:
        tensors[f"levels.{level.index}"] = level.gains
    levels = {level.index for level in network.levels}
    about = {
        "sample_rate": float(sample_rate),
        "prewarm": network.receptive_field,
        "knobs": [{"name": n, "default": d, "levels": i in levels} for i, (n, d) in enumerate(knobs.items())],
        "head_scale": float(network.network.head_scale),
        "stacks": [_describe(stack) for stack in network.network.arrays],
        "metadata": dict(metadata or {}),
    }
    return archive_bytes(KIND, about, tensors)


def _describe(stack: LayerArray) -> dict[str, Any]:
    activation = stack.layers[0].activation
    about = {"dilations": [layer.conv.dilation for layer in stack.layers], "activation": activation.name}
    return about | ({"slope": activation.params["negative_slope"]} if activation.params else {})


def _conv(tensors: Tensors, name: str, dilation: int = 1, taps: int | None = None) -> Conv:
    weight = tensors.take(f"{name}.weight", None, None, taps)
    if max(weight.shape[:2]) > MAX_CHANNELS or weight.shape[2] > MAX_KERNEL:
        raise ModelError(f"is too large: {weight.shape}", f"{name}.weight")
    bias = tensors.take(f"{name}.bias", len(weight)) if f"{name}.bias" in tensors.left else None
    return Conv(weight, bias, dilation)


def _stack(tensors: Tensors, index: int, node: Node) -> LayerArray:
    name = node["activation"].choice("tanh", "leaky_relu")
    params = {"negative_slope": node["slope"].number(-10, 10)} if name == "leaky_relu" else {}
    layers = []
    for j, dilation in enumerate(node["dilations"].integers(1, MAX_DILATION, 256)):
        place = f"stacks.{index}.layers.{j}"
        conv = _conv(tensors, f"{place}.conv", dilation)
        mixin, residual = _conv(tensors, f"{place}.mixin", taps=1), _conv(tensors, f"{place}.residual", taps=1)
        layers.append(Layer(conv, mixin, Activation(name, params), residual=residual))
    enter, head = _conv(tensors, f"stacks.{index}.rechannel", taps=1), _conv(tensors, f"stacks.{index}.head")
    return LayerArray(enter, tuple(layers), head)


def _check_chain(network: WaveNet) -> None:
    """Raise if the channels of neighbouring convolutions do not match."""
    entering, summed = 1, 0
    for i, stack in enumerate(network.arrays):
        width = stack.rechannel.out_channels
        _fit(stack.rechannel, entering, width, f"stacks.{i}.rechannel.weight")
        for j, layer in enumerate(stack.layers):
            _fit(layer.conv, width, width, f"stacks.{i}.layers.{j}.conv.weight")
            _fit(layer.mixin, 1, width, f"stacks.{i}.layers.{j}.mixin.weight")
            assert layer.residual is not None
            _fit(layer.residual, width, width, f"stacks.{i}.layers.{j}.residual.weight")
        _fit(stack.head, width, stack.head.out_channels, f"stacks.{i}.head.weight")
        if i and summed != width:
            raise ModelError(f"expected {width} outputs, found {summed}", f"stacks.{i - 1}.head.weight")
        entering, summed = width, stack.head.out_channels
    if summed != 1:
        raise ModelError(f"expected 1 output, found {summed}", f"stacks.{len(network.arrays) - 1}.head.weight")


def _fit(conv: Conv, into: int, out: int, name: str) -> None:
    if (conv.in_channels, conv.out_channels) != (into, out):
        raise ModelError(f"expected {into} to {out} channels, found {conv.in_channels} to {conv.out_channels}", name)


def _dense(tensors: Tensors, knobs: int, outputs: int) -> tuple[Dense, ...]:
    layers: list[Dense] = []
    width = knobs
    while f"dense.{len(layers)}.weight" in tensors.left:
        weight = tensors.take(f"dense.{len(layers)}.weight", None, width)
        layers.append(Dense(weight, tensors.take(f"dense.{len(layers)}.bias", len(weight))))
        width = len(weight)
    if not layers or width != outputs:
        raise ModelError(
            f"expected {outputs} outputs of the last dense layer, found {width if layers else 'none'}", "dense"
        )
    return tuple(layers)


def _constant(network: WaveNet) -> tuple[Dense, ...]:
    """Return a dense layer without inputs, for a network without learned knobs."""
    size = sum(modulation_sizes(network))
    return (Dense(np.zeros((size, 0), np.float32), np.zeros(size, np.float32)),)


def _name(node: Node) -> str:
    name = node["name"].string()
    if not name.isidentifier() or name in ("input_gain_db", "output_gain_db", "size"):
        node["name"].fail("a knob's name: letters, digits and underscores")
    return name


def matches(content: Content) -> bool:
    """Return whether a file is a safetensors archive, as pedal files are."""
    return archive_matches(content.data)


FORMAT = Format("pedal", matches, lambda content: read(content.data), suffixes=(".safetensors",))
