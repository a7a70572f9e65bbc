"""Read the WaveNet JSON of the SMC-2019 paper (WaveNetVA), PedalNetRT, SmartGuitarPedal and SmartAmp.

Damskägg, Juvela, Välimäki, "Real-time modeling of audio distortion circuits with deep learning", SMC 2019.

The network is rewritten as a WaveNet with one layer array, without any approximation. The mix of all layer outputs
becomes the layers' head convolutions. The bias of the input layer moves into the layers' biases.
"""

from __future__ import annotations

import numpy as np

from neural_fx.arrays import Array
from neural_fx.errors import ModelError
from neural_fx.formats import activations
from neural_fx.formats.capture import Capture
from neural_fx.formats.guitarml import knob_names
from neural_fx.formats.reader import MAX_DILATION, MAX_HISTORY, MAX_KERNEL, MAX_LAYERS, Node, count_numbers
from neural_fx.formats.registry import Content, Format
from neural_fx.networks import Activation, Conv, Layer, LayerArray, WaveNet

SAMPLE_RATE = 44100.0
KNOBS = ("gain", "master")


def matches(content: Content) -> bool:
    """Return whether a file looks like an SMC-2019 WaveNet file."""
    return content.has_keys("residual_channels", "variables")


def read(root: Node) -> Capture:
    """Read the capture in a parsed file.

    Raises:
        ModelError: names the field that is wrong.
    """
    inputs = root["input_channels"].integer(1, 9) if "input_channels" in root else 1
    if "output_channels" in root and root["output_channels"].integer(1, 64) != 1:
        raise ModelError(f"expected 1 (mono), found {root['output_channels'].value}", "output_channels")
    channels = root["residual_channels"].integer(1)
    taps = root["filter_width"].integer(1, MAX_KERNEL)
    dilations = root["dilations"].integers(1, MAX_DILATION)
    if sum(dilations) * (taps - 1) * channels > MAX_HISTORY:
        raise ModelError(f"would keep more than {MAX_HISTORY} past values per stream", "dilations")
    main, gate = activations.wavenetva(root["activation"])
    network = _network(_Variables(root["variables"]), inputs, channels, taps, dilations, main, gate)
    return Capture(
        format="wavenetva",
        architecture=f"WaveNet {channels}x{len(dilations)} ({root['activation'].string()})",
        network=network,
        sample_rate=SAMPLE_RATE,
        parameter_count=sum(count_numbers(v["data"].value) for v in root["variables"].items(8 * MAX_LAYERS)),
        knobs=dict.fromkeys(knob_names(inputs - 1, KNOBS), 0.5),
        prewarm=network.receptive_field,
    )


class _Variables:
    """The named arrays of the file. Each is taken once, in the shape that the config asks for."""

    def __init__(self, node: Node) -> None:
        self.path = node.path
        self.found: dict[tuple[int, str], Node] = {}
        for entry in node.items(8 * MAX_LAYERS):
            key = entry["layer_idx"].integer(-1, MAX_LAYERS), entry["name"].string()
            if key in self.found:
                raise ModelError(f"layer {key[0]} has {key[1]} twice", entry.path)
            self.found[key] = entry["data"]

    def take(self, layer: int, name: str, *shape: int) -> Array:
        """Remove an array and return it.

        Args:
            layer: index of the layer; -1 for the input layer.
            name: of the array.
            shape: that it must have.

        Raises:
            ModelError: names the array that is missing or of another size.
        """
        node = self.found.pop((layer, name), None)
        if node is None:
            raise ModelError(f"layer {layer} has no {name}", self.path)
        flat = node.floats(strings=True)
        if flat.size != np.prod(shape):
            raise ModelError(f"layer {layer} {name}: expected {np.prod(shape)} numbers, found {flat.size}", node.path)
        return flat.reshape(shape)

    def done(self) -> None:
        """Raise if the file has arrays that the config does not use."""
        if self.found:
            layer, name = min(self.found)
            raise ModelError(f"layer {layer} has {name}, which the config does not use", self.path)


def _network(
    variables: _Variables,
    inputs: int,
    channels: int,
    taps: int,
    dilations: list[int],
    main: Activation,
    gate: Activation | None,
) -> WaveNet:
    count, wide = len(dilations), channels * (2 if gate else 1)
    enter = variables.take(-1, "W", inputs, channels).T[..., None]
    offset = variables.take(-1, "b", channels).astype(np.float64)  # constant part of the residual signal
    mix = variables.take(count, "W", count, channels)
    mix_bias = variables.take(count, "b", 1)
    layers = []
    for i, dilation in enumerate(dilations):
        kernel = variables.take(i, "W_conv", taps, channels, wide).transpose(2, 1, 0)
        # The constant passes every tap of the convolution, so it adds their sum to the bias.
        bias = variables.take(i, "b_conv", wide) + kernel.sum(2, dtype=np.float64) @ offset
        residual = Conv(
            variables.take(i, "W_out", channels, channels).T[..., None], variables.take(i, "b_out", channels)
        )
        layers.append(
            Layer(
                conv=Conv(np.ascontiguousarray(kernel), bias.astype(np.float32), dilation),
                mixin=Conv(np.zeros((wide, inputs, 1), np.float32)),
                activation=main,
                gating="gated" if gate else "none",
                secondary=gate or Activation("sigmoid"),
                residual=residual,
                head=Conv(np.ascontiguousarray(mix[i])[None, :, None], (mix_bias / count).astype(np.float32)),
            )
        )
    variables.done()
    through = Conv(np.ones((1, 1, 1), np.float32))
    return WaveNet((LayerArray(Conv(np.ascontiguousarray(enter)), tuple(layers), through),))


FORMAT = Format("SMC-2019 WaveNet", matches, lambda content: read(content.root))
