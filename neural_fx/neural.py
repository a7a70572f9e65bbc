"""`NeuralProcessor`: a capture as a processor, at any sample rate, on any number of channels, with live knobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neural_fx.engines import Engine, Stream, open_engine
from neural_fx.errors import ModelError, ParameterError
from neural_fx.formats import Capture
from neural_fx.formats import read as read_capture
from neural_fx.formats.network import Network, Sequential, Slimmable, largest
from neural_fx.loudness import normalizing_gain_db
from neural_fx.parameters import Parameter, Ramp, decibels
from neural_fx.processor import Audio, Processor, Spec
from neural_fx.resampling import StreamResampler, round_trip_latency
from neural_fx.values import is_finite_number, shown, suggestion

LEVELS = ("raw", "normalized", "calibrated")
FADE_SECONDS = 0.02

INTERFACE_DBU = Parameter("interface_dbu", -100, 100, 12, "dBu")

_GAINS = (
    Parameter("input_gain_db", -60, 60, 0, "dB", description="before the model: drives it harder or softer"),
    Parameter("output_gain_db", -60, 60, 0, "dB", description="after the model"),
)


class NeuralProcessor(Processor):
    """A capture of a pedal or amplifier.

    Every channel runs through the model on its own. Streams at another rate than the model's are converted both
    ways; the look-ahead of the conversion is in `latency_samples`.

    Args:
        capture: what `neural_fx.formats.read` returns.
        level: the output level. ``raw``: as the file says. ``normalized``: all captures at the same loudness (-18 dB
            for a standard clip, with the knobs at their defaults; a file that does not state its loudness is
            measured once, see `neural_fx.loudness`). ``calibrated``: in dBu, against an audio interface. For a
            capture that has a knob of this name, a number sets the knob.
        interface_dbu: for ``calibrated``: dBu of a sine at 0 dBFS peak on the interface, in and out.
        device: ``auto``, ``cpu``, ``cpu-fast`` or another of `neural_fx.engines.open_engine`.
        oversample: run the model at 1, 2, 4 or 8 times its rate against aliasing, at as many times the cost: its
            copies play the samples in turn, so that it sounds the same, and aliases of different copies cancel.
        parameters: start values: `input_gain_db`, `output_gain_db`, the capture's knobs (0..1), and `size` (0..1)
            where the file holds several sizes.

    Raises:
        ModelError: the level needs metadata that the file does not have, or a loudness that cannot be measured.
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
        self.capture, self.oversample = capture, oversample
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
        """Where it runs: see `neural_fx.engines.open_engine`. A new one counts from the next stream on."""
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
        self._level_gains, self._output_level = level_gains(self.capture, value, self.interface_dbu), value
        self._aims = None

    @property
    def level(self) -> str | float:
        """The knob of this name if the capture has one, else `output_level`. A name sets the output level."""
        return self._values["level"] if "level" in self._table else self._output_level

    @level.setter
    def level(self, value: str | float) -> None:
        if isinstance(value, str):
            self.output_level = value
        else:
            self.set_parameter("level", value)

    @property
    def interface_dbu(self) -> float:
        """dBu of a sine at 0 dBFS peak on the audio interface, for the level ``calibrated``."""
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
        """The capture's name, or the file's."""
        return self.capture.metadata.name or (self.capture.path.stem if self.capture.path else "capture")

    @property
    def latency_samples(self) -> int:
        """Look-ahead of the rate conversion; 0 at the model's own rate unless it is oversampled."""
        inner = self.sample_rate * self.oversample
        if self._spec is None or self._spec.sample_rate == inner:
            return 0
        return round_trip_latency(self._spec.sample_rate, inner) + (self.oversample > 1)

    def prepare(self, spec: Spec) -> None:
        rate = self.sample_rate * self.oversample
        self._into = self._back = None
        self._rest = np.zeros((spec.channels, 0), np.float32)
        if spec.sample_rate != rate:
            self._into = StreamResampler(spec.sample_rate, rate, spec.channels)
            self._back = StreamResampler(rate, spec.sample_rate, spec.channels)
        self._player = Player(self.capture, rate, self._sizes, spec.channels, self._targets())

    def push(self, audio: Audio) -> Iterator[Audio]:
        """Blocks of at least 8192 samples: networks give the same samples for any, and a call costs microseconds."""
        assert self._spec is not None
        size = max(self._spec.buffer_size, 8192)
        for start in range(0, audio.shape[1], size):
            yield self.feed(audio[:, start : start + size])

    def process_block(self, block: Audio) -> Audio:
        assert self._player is not None
        if self._into is None or self._back is None:
            return self._player.process(block, self._targets())
        inner = self._whole(self._into.process(block))
        if inner.shape[1] == 0:
            return inner
        return self._back.process(self._player.process(inner, self._targets()))

    def _whole(self, inner: Audio) -> Audio:
        """What was left and this, as far as there is a sample for each of the model's copies."""
        if self.oversample == 1:
            return inner
        inner = np.concatenate((self._rest, inner), 1)
        end = inner.shape[1] - inner.shape[1] % self.oversample
        self._rest = inner[:, end:]
        return inner[:, :end]

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
        """The parameter values with both gains as linear factors, levels included; the same dict until one changes."""
        if self._aims is not None:
            return self._aims
        values = {name: self._heading(name, value) for name, value in self._values.items()}
        self._aims = values
        return values

    def self_test(self) -> float | None:
        """ESR of the model against the test batch in its file (AIDA-X), as a fraction; None if there is none.

        The batch was computed at gains of 0 dB, knobs at 0, from a zero state.
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


if TYPE_CHECKING:

    class LoadedCapture(NeuralProcessor):
        """What `load` returns, for type checkers: the knobs are those of the file, which they cannot know."""

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

else:
    LoadedCapture = NeuralProcessor


def load(
    path: str | Path,
    *,
    level: str | float = "raw",
    interface_dbu: float = 12.0,
    device: str = "auto",
    oversample: int = 1,
    **parameters: float,
) -> LoadedCapture:
    """A capture file as a processor: `.nam`, GuitarML, RTNeural / AIDA-X, SMC-2019 WaveNet or pedal, by its content.

    Args:
        path: the file.
        level, interface_dbu, device, oversample, parameters: as for `NeuralProcessor`.

    Raises:
        ModelError: the file is not a model, or one of its fields is wrong; names the file and the field.
        ParameterError: an unknown parameter or a value out of range.
    """
    capture = read_capture(path)
    try:
        return LoadedCapture(
            capture, level=level, interface_dbu=interface_dbu, device=device, oversample=oversample, **parameters
        )
    except ModelError as error:
        raise error.inside(path) from None


def capture_parameters(capture: Capture) -> list[Parameter]:
    """The parameter table of a capture: two gains, its knobs, and `size` if it has several sizes."""
    table = list(_GAINS)
    table += [
        Parameter(name, 0, 1, start, description="a knob of the capture") for name, start in capture.knobs.items()
    ]
    if isinstance(capture.network, Slimmable):
        table.append(Parameter("size", 0, 1, 1, smoothing=0, description="0 is the smallest and cheapest network"))
    return table


def level_gains(capture: Capture, level: str, interface_dbu: float) -> tuple[float, float]:
    """dB before and after the model for an output level.

    Raises:
        ModelError: an unknown level, metadata that ``calibrated`` needs is missing, or ``normalized`` finds silence.
    """
    meta = capture.metadata
    if level == "raw":
        return 0.0, 0.0
    if level == "normalized":
        return 0.0, normalizing_gain_db(capture)
    if level == "calibrated":
        if meta.input_level_dbu is None or meta.output_level_dbu is None:
            raise ModelError(
                "level calibrated needs input_level_dbu and output_level_dbu, which this file does not state; use raw",
                "metadata",
            )
        return interface_dbu - meta.input_level_dbu, meta.output_level_dbu - interface_dbu
    hint = suggestion(level, LEVELS) if isinstance(level, str) else ""
    raise ModelError(f"unknown level {shown(level)}{hint}; known: {', '.join(LEVELS)}")


def amplified(audio: Audio, gain: NDArray[np.float32] | np.float32) -> Audio:
    """The audio times a gain; the audio itself where that is 1."""
    if not isinstance(gain, np.ndarray) and gain == 1:
        return audio
    return np.multiply(audio, gain, dtype=np.float32)


class Sizes:
    """The networks of a capture, one unless it is slimmable; engines are opened when first played."""

    def __init__(self, network: Network, device: str, oversample: int = 1, rate: float = 48000.0) -> None:
        self.network, self.device, self.oversample, self.rate = network, device, oversample, rate
        self.networks: tuple[Network, ...] = network.sizes if isinstance(network, Slimmable) else (network,)
        self._engines: dict[int, Engine] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the engines, which hold compiled state and are opened again when first played."""
        return {**self.__dict__, "_engines": {}}

    def pick(self, size: float) -> int:
        """Which network plays at a size of 0..1."""
        return self.network.pick(size) if isinstance(self.network, Slimmable) else 0

    def stream(self, index: int, batch: int) -> Stream:
        """New streams of that network (of its largest, if it is slimmable itself)."""
        if index not in self._engines:
            self._engines[index] = open_engine(largest(self.networks[index]), self.device, self.rate)
        if self.oversample == 1:
            return self._engines[index].stream(batch)
        return _Copies(self._engines[index].stream(batch * self.oversample), self.oversample)


class _Copies:
    """Streams at a multiple of the model's rate: `count` copies of the model play the samples in turn."""

    def __init__(self, stream: Stream, count: int) -> None:
        self.stream, self.count = stream, count

    def reset(self, prewarm: int, controls: NDArray[np.float32]) -> None:
        self.stream.reset(prewarm, controls)

    def process(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(batch, in, n) with n a multiple of `count` -> (batch, out, n)."""
        batch, channels, n = x.shape
        turns = x.reshape(batch, channels, n // self.count, self.count).transpose(0, 3, 1, 2)
        y = self.stream.process(np.ascontiguousarray(turns.reshape(-1, channels, n // self.count)))
        return y.reshape(batch, self.count, -1, n // self.count).transpose(0, 2, 3, 1).reshape(batch, -1, n)


class Player:
    """One stream of a capture: knobs and gains in motion, sizes cross-faded. `rate`: Hz, the model's or a multiple."""

    def __init__(
        self, capture: Capture, rate: float, sizes: Sizes, channels: int, targets: Mapping[str, float]
    ) -> None:
        self.capture, self.sizes, self.channels = capture, sizes, channels
        samples = int(rate * 0.02)
        self.ramps = {name: Ramp(value, samples) for name, value in targets.items() if name != "size"}
        self.targets: Mapping[str, float] = targets
        self.playing = self.wanted = sizes.pick(targets.get("size", 1.0))
        self.stream = self._fresh(self.playing)
        self.next: tuple[int, Stream] | None = None
        self.faded, self.fade = 0, max(1, int(rate * FADE_SECONDS))
        switchable = len(sizes.networks) > 1
        past = (channels, 1 + len(capture.knobs), capture.prewarm * sizes.oversample if switchable else 0)
        self.past = np.zeros(past, np.float32)

    def _fresh(self, index: int) -> Stream:
        stream = self.sizes.stream(index, self.channels)
        controls = np.array([self.ramps[name].value for name in self.capture.knobs], np.float32)
        stream.reset(self.capture.prewarm, controls)
        return stream

    def process(self, block: Audio, targets: Mapping[str, float]) -> Audio:
        """(channels, samples) -> the same, heading for the target values from here on."""
        if targets is not self.targets:
            for name, ramp in self.ramps.items():
                ramp.aim(targets[name])
            self.targets, self.wanted = targets, self.sizes.pick(targets.get("size", 1.0))
        count = block.shape[1]
        x = amplified(block, self.ramps["input_gain_db"].next(count))[:, None]
        if self.capture.knobs:
            knobs = np.empty((self.channels, len(self.capture.knobs), count), np.float32)
            for i, name in enumerate(self.capture.knobs):
                knobs[:, i] = self.ramps[name].next(count)
            x = np.concatenate((x, knobs), 1)
        y = self._network(x, self.wanted)
        return amplified(y, self.ramps["output_gain_db"].next(count))

    def _network(self, x: NDArray[np.float32], wanted: int) -> Audio:
        """The network's output; a change of size is prewarmed with the recent input and cross-faded."""
        if self.next is None and wanted != self.playing:
            stream = self._fresh(wanted)
            stream.process(self.past)
            self.next, self.faded = (wanted, stream), 0
        y = self.stream.process(x)[:, 0]
        if self.next is not None:
            coming = self.next[1].process(x)[:, 0]
            weight = np.clip((self.faded + np.arange(1, x.shape[2] + 1)) / self.fade, 0, 1).astype(np.float32)
            y = y + weight * (coming - y)
            self.faded += x.shape[2]
            if self.faded >= self.fade:
                (self.playing, self.stream), self.next = self.next, None
        if self.past.shape[2]:
            self.past = np.concatenate((self.past, x), 2)[:, :, -self.past.shape[2] :]
        return y
