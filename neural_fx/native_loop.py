"""Boards for the native loop, which plays live audio without the interpreter: which it can play, and in what steps.

The compiled module has the loop (`_core.NativeLoop`). It plays a `Program`: a flat list of steps on a block of audio.
The steps use the same compiled streams as the board itself, so a board can move to the loop and back at any block
without a gap. A board qualifies if it holds only captures that run in the compiled engine at the stream's own rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pedalboard

from neural_fx.engines import cpu
from neural_fx.engines.cpu import CpuStream
from neural_fx.neural import NeuralProcessor
from neural_fx.parameters import Ramp
from neural_fx.pedalboard import Chain, Mix, Pedalboard, Plugin
from neural_fx.processor import Processor, Spec


def available() -> bool:
    """Return whether this installation has the native loop: the compiled engine, on Linux or macOS."""
    return hasattr(cpu.core, "NativeLoop")


@dataclass(frozen=True)
class Knob:
    """A ramp of a program, and the parameter that it belongs to.

    Attributes:
        ramp: the ramp of the Python path.
        owner: the object that has the parameter.
        name: of the parameter.
        restore: sets the parameter, in its own unit, when the board leaves the loop.
    """

    ramp: Ramp
    owner: object
    name: str
    restore: Callable[[float], None]


@dataclass
class Plan:
    """A board as the native loop plays it.

    Attributes:
        program: the compiled steps.
        knobs: for each ramp of the program, in order.
    """

    program: Any
    knobs: list[Knob] = field(default_factory=list)

    def find(self, owner: object, name: str) -> int | None:
        """Return the number of the ramp of a parameter, or None if it has none."""
        for index, knob in enumerate(self.knobs):
            if knob.owner is owner and knob.name == name:
                return index
        return None

    def target(self, owner: Processor, name: str, value: float) -> float:
        """Return what the ramp of a parameter goes to at a value."""
        return owner._heading(name, value) if isinstance(owner, NeuralProcessor) else value

    def restore(self) -> None:
        """Bring the Python objects to where the program is now. The loop must not be playing it."""
        for index, knob in enumerate(self.knobs):
            ramp = knob.ramp
            ramp.value, ramp.target, ramp.step, ramp.left, setting = self.program.ramp(index)
            ramp.held = np.float32(ramp.value)
            knob.restore(setting)


@dataclass(frozen=True)
class Switch:
    """A bypass around a whole board.

    Attributes:
        ramp: from 1 (the board) to 0 (the dry input).
        owner: the object that has it, with the parameter ``bypass``.
        value: 0 plays the board, 1 bypasses it.
        restore: sets the value.
    """

    ramp: Ramp
    owner: object
    value: float
    restore: Callable[[float], None]


def native_plan(board: Pedalboard, spec: Spec, switch: Switch | None = None) -> Plan | str:
    """Return how the native loop plays a board, or a sentence that says why it cannot.

    Args:
        board: with a stream of this shape, at any place in it.
        spec: of the stream. The loop plays blocks of exactly `buffer_size` samples.
        switch: a bypass around the board.
    """
    if not available():
        return "the compiled engine of this installation has no native loop"
    program = cpu.core.Program(spec.channels, spec.buffer_size, spec.sample_rate)
    builder = _Builder(Plan(program), spec)
    try:
        builder.add_all(board, switch)
    except _UnfitError as reason:
        return str(reason)
    return builder.plan


class _UnfitError(Exception):
    """The native loop cannot play a part of a board."""


class _Builder:
    """Writes the steps of a board into a program."""

    def __init__(self, plan: Plan, spec: Spec) -> None:
        self.plan, self.spec = plan, spec
        self.steps = cpu.core.Do
        self.kept = 0  # blocks that are kept for later steps

    def add_all(self, board: Pedalboard, switch: Switch | None) -> None:
        """Add the whole board."""
        dry = self._keep() if switch is not None else 0
        self._check_board(board, "the board")
        inner = self._keep()
        for number, plugin in enumerate(board, 1):
            self._add(plugin, f"slot {number}")
        self._blend(board, inner)
        if switch is not None:
            knob = Knob(switch.ramp, switch.owner, "bypass", switch.restore)
            self._step("blend", dry, self._ramp(knob, switch.value, 1.0 - switch.value))
            self.kept -= 1

    def _add(self, plugin: Plugin, where: str) -> None:
        if isinstance(plugin, NeuralProcessor):
            self._capture(plugin, where)
        elif isinstance(plugin, Pedalboard):
            self._check_board(plugin, where)
            dry = self._keep()
            self._add_each(plugin, where)
            self._blend(plugin, dry)
        elif type(plugin) is Chain:
            self._add_each(plugin, where)
        elif type(plugin) is Mix:
            self._parallel(plugin, where)
        else:
            raise _UnfitError(f"{where} is {_described(plugin)}")

    def _add_each(self, plugins: Chain, where: str) -> None:
        for plugin in plugins:
            self._add(plugin, where)

    def _check_board(self, board: Pedalboard, where: str) -> None:
        kind = type(board)
        if kind.process_block is not Pedalboard.process_block or kind._out is not Pedalboard._out:
            raise _UnfitError(f"{where} is {_described(board)}")

    def _parallel(self, mix: Mix, where: str) -> None:
        if not len(mix):
            return
        source, total = self._keep(), self._keep("clear")
        for plugin in mix:
            self._step("recall", source)
            self._add(plugin, where)
            self._step("add", total)
        self._step("recall", total)
        self.kept -= 2

    def _blend(self, board: Pedalboard, dry: int) -> None:
        mix = board.mix
        knob = Knob(board._mix, board, "mix", lambda value: board.set_parameter("mix", value))
        self._step("blend", dry, self._ramp(knob, mix, mix))
        self.kept -= 1

    def _capture(self, capture: NeuralProcessor, where: str) -> None:
        stream = self._stream_of(capture, where)
        assert capture._player is not None
        ramps = capture._player.ramps
        names = ["input_gain_db", *capture.capture.knobs, "output_gain_db"]
        numbers = []
        for name in names:
            value = capture._values[name]
            knob = Knob(ramps[name], capture, name, _setter(capture, name))
            numbers.append(self._ramp(knob, value, capture._heading(name, value)))
        self.plan.program.add_network(stream.kernels, numbers)

    def _stream_of(self, capture: NeuralProcessor, where: str) -> CpuStream:
        """Return the compiled stream of a capture, if it is played as it is."""
        if type(capture).process_block is not NeuralProcessor.process_block:
            raise _UnfitError(f"{where} is {_described(capture)}")
        if capture.oversample > 1:
            raise _UnfitError(f"{where} is oversampled")
        if capture.sample_rate != self.spec.sample_rate:
            raise _UnfitError(
                f"{where} runs at {capture.sample_rate:g} Hz and the stream at {self.spec.sample_rate:g} Hz"
            )
        player = capture._player
        assert player is not None
        if len(player.sizes.networks) > 1:
            raise _UnfitError(f"{where} has a network of several sizes")
        if not isinstance(player.stream, CpuStream):
            raise _UnfitError(f"{where} does not run in the compiled engine")
        return player.stream

    def _keep(self, what: str = "keep") -> int:
        self._step(what, self.kept)
        self.kept += 1
        return self.kept - 1

    def _step(self, what: str, place: int, ramp: int = 0) -> None:
        self.plan.program.add_step(getattr(self.steps, what), place, ramp)

    def _ramp(self, knob: Knob, value: float, aim: float) -> int:
        ramp = knob.ramp
        self.plan.knobs.append(knob)
        return int(self.plan.program.add_ramp(ramp.value, ramp.target, ramp.step, ramp.samples, ramp.left, value, aim))


def _setter(capture: NeuralProcessor, name: str) -> Callable[[float], None]:
    return lambda value: capture.set_parameter(name, value)


def _described(plugin: Plugin) -> str:
    if isinstance(plugin, Processor):
        return f"the Python processor {type(plugin).__name__}"
    if isinstance(plugin, pedalboard.ExternalPlugin):
        return f"the plugin {plugin.name}"
    return f"a pedalboard {type(plugin).__name__}"
