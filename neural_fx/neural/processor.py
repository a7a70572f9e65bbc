"""Play captures as processors, at any sample rate, on any number of channels, with live knobs: `NeuralProcessor`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.engines import open_engine
from neural_fx.errors import ParameterError
from neural_fx.formats import Capture
from neural_fx.networks import Sequential, Slimmable
from neural_fx.neural.levels import INTERFACE_DBU, level_gains
from neural_fx.neural.player import Player
from neural_fx.neural.sizes import Sizes
from neural_fx.parameters import Parameter, decibels
from neural_fx.processor import Processor, Spec
from neural_fx.resampled import ResampledStage
from neural_fx.values import is_finite_number, shown

_GAINS = (
    Parameter("input_gain_db", -60, 60, 0, "dB", description="gain before the model, which drives it harder or softer"),
    Parameter("output_gain_db", -60, 60, 0, "dB", description="gain after the model"),
)


class NeuralProcessor(Processor):
    """A capture of a pedal or amplifier.

    Each channel runs through the model separately. If a stream has another rate than the model, it is converted both
    ways. The latency of the conversion is part of `latency_samples`.

    There are three output levels:

    - ``raw``: the model's own output;
    - ``normalized``: all captures have the same loudness, -18 dB for a standard clip with the knobs at their defaults.
      If a file does not state its loudness, it is measured once (see `neural_fx.loudness`);
    - ``calibrated``: in dBu, for an audio interface of a known level.

    Oversampling runs several copies of the model, which take the samples in turn. So it sounds the same, and the
    aliases of different copies cancel.

    Args:
        capture: as `neural_fx.formats.read` returns it.
        level: one of the output levels. If the capture has a knob called ``level``, a number sets this knob.
        interface_dbu: for ``calibrated``: dBu of a sine at 0 dBFS peak at the interface's input and output.
        device: ``auto``, ``cpu``, ``cpu-fast`` or another one of `neural_fx.engines.open_engine`.
        oversample: 1, 2, 4 or 8. Runs the model at that many times its rate to reduce aliasing, at that many times the
            cost.
        parameters: start values of `input_gain_db`, `output_gain_db` and the capture's knobs (0..1), and of `size`
            (0..1) if the file holds several sizes.

    Raises:
        ModelError: the level needs metadata that the file does not have, or its loudness cannot be measured.
        ParameterError: an unknown parameter or a value out of range.
    """

    input_gain_db: float
    output_gain_db: float

    def __init__(
        self,
        capture: Capture,
        *,
        level: str | float = "raw",
        interface_dbu: float = 12.0,
        device: str = "auto",
        oversample: int = 1,
        **parameters: float,
    ) -> None:
        super().__init__()
        self._aims: dict[str, float] | None = None
        for parameter in capture_parameters(capture):
            self._table[parameter.name] = parameter
            self._values[parameter.name] = parameter.default
        if not is_finite_number(oversample) or oversample not in (1, 2, 4, 8):
            raise ParameterError(f"oversample: expected 1, 2, 4 or 8, found {shown(oversample)}")
        oversample = int(oversample)
        self.capture = capture
        self.oversample = oversample
        self._interface_dbu = INTERFACE_DBU.check(interface_dbu)
        self._output_level = level if isinstance(level, str) else "raw"
        self._level_gains = level_gains(capture, self._output_level, self._interface_dbu)
        self.device = device
        self._player: Player | None = None
        if not isinstance(level, str):
            parameters["level"] = level
        for name, value in parameters.items():
            self.set_parameter(name, value)

    @property
    def device(self) -> str:
        """Device that it runs on, as for `neural_fx.engines.open_engine`. A new one takes effect in the next stream."""
        return self._sizes.device

    @device.setter
    def device(self, value: str) -> None:
        self._sizes = Sizes(self.capture.network, value, self.oversample, self.capture.sample_rate)

    @property
    def output_level(self) -> str:
        """``raw``, ``normalized`` or ``calibrated``."""
        return self._output_level

    @output_level.setter
    def output_level(self, value: str) -> None:
        self._level_gains = level_gains(self.capture, value, self.interface_dbu)
        self._output_level = value
        self._aims = None

    @property
    def level(self) -> str | float:
        """The knob called ``level`` if the capture has one, else `output_level`. Text sets the output level."""
        return self._values["level"] if "level" in self._table else self._output_level

    @level.setter
    def level(self, value: str | float) -> None:
        if isinstance(value, str):
            self.output_level = value
        else:
            self.set_parameter("level", value)

    @property
    def interface_dbu(self) -> float:
        """dBu of a sine at 0 dBFS peak at the audio interface, for the level ``calibrated``."""
        return self._interface_dbu

    @interface_dbu.setter
    def interface_dbu(self, value: float) -> None:
        self._interface_dbu = INTERFACE_DBU.check(value)
        self.output_level = self._output_level

    @property
    def sample_rate(self) -> float:
        """Hz at which the model runs."""
        return self.capture.sample_rate

    @property
    def name(self) -> str:
        """The capture's name, or else the file's."""
        return self.capture.metadata.name or (self.capture.path.stem if self.capture.path else "capture")

    @property
    def latency_samples(self) -> int:
        """Latency of the rate conversion. 0 at the model's own rate unless it is oversampled."""
        return 0 if self._spec is None else self._stage.latency_samples()

    def prepare(self, spec: Spec) -> None:
        rate = self.sample_rate * self.oversample
        self._stage = ResampledStage(spec.sample_rate, rate, spec.channels, self.oversample)
        self._player = Player(self.capture, rate, self._sizes, spec.channels, self._targets())

    def push(self, audio: Audio) -> Iterator[Audio]:
        """Process a signal in blocks of at least `neural_fx.blocks.CAPTURE_BLOCK` samples, and yield the results."""
        assert self._spec is not None
        size = max(self._spec.buffer_size, blocks.CAPTURE_BLOCK)
        for start in range(0, audio.shape[1], size):
            yield self.feed(audio[:, start : start + size])

    def process_block(self, block: Audio) -> Audio:
        assert self._player is not None
        inner = self._stage.into(block)
        if inner.shape[1] == 0:
            return inner
        return self._stage.back(self._player.process(inner, self._targets()))

    def set_parameter(self, name: str, value: object) -> None:
        super().set_parameter(name, value)
        self._aims = None

    def _heading(self, name: str, value: float) -> float:
        """Return what a parameter's ramp heads for at a value: the linear factor, level included, for a gain in dB."""
        if name not in ("input_gain_db", "output_gain_db"):
            return value
        before, after = self._level_gains
        return decibels(value + (before if name == "input_gain_db" else after))

    def _targets(self) -> dict[str, float]:
        """Return the parameter values, with both gains as linear factors that include the output level.

        It is the same dict until a value changes.
        """
        if self._aims is not None:
            return self._aims
        values = {name: self._heading(name, value) for name, value in self._values.items()}
        self._aims = values
        return values

    def _is_settled(self) -> bool:
        """Return whether the stream plays the size that it is set to, and no other one fades out."""
        player = self._player
        return player is None or (
            player.next is None and player.playing == self._sizes.pick(self._values.get("size", 1.0))
        )

    def self_test(self) -> float | None:
        """Compare the model's output with the test batch that AIDA-X files may hold.

        The test batch is computed with gains of 0 dB and knobs at 0, from a zero state.

        Returns:
            The ESR as a fraction, or None if the file holds no test batch.
        """
        test, network = self.capture.self_test, self.capture.network
        if test is None or not isinstance(network, Sequential):
            return None
        plain = replace(network, input_gain=1.0, output_gain=1.0)
        stream = open_engine(plain, self.device).stream(1)
        stream.reset(0, np.zeros(len(self.capture.knobs), np.float32))
        x = np.zeros((1, 1 + len(self.capture.knobs), len(test.input)), np.float32)
        x[0, 0] = test.input
        error = stream.process(x)[0, 0].astype(np.float64) - test.output
        return float(np.sum(error**2) / max(float(np.sum(test.output.astype(np.float64) ** 2)), 1e-12))

    def __repr__(self) -> str:
        return self.described(f"neural_fx.{type(self).__name__} {self.name!r}")


def capture_parameters(capture: Capture) -> list[Parameter]:
    """Return the parameters of a capture: two gains, its knobs, and `size` if it has several sizes."""
    table = list(_GAINS)
    table += [
        Parameter(name, 0, 1, start, description="a knob of the capture") for name, start in capture.knobs.items()
    ]
    if isinstance(capture.network, Slimmable):
        table.append(Parameter("size", 0, 1, 1, smoothing=0, description="0 is the smallest network, 1 the largest"))
    return table
