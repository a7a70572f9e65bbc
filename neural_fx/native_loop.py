"""Convert boards for the native loop, which plays live audio without the interpreter.

The compiled module has the loop (`_core.NativeLoop`). It plays a `Program`: a flat list of steps on a block of audio.
The steps use the same compiled streams as the board itself. So a board can move to the loop and back at any block
without a gap.

The loop plays a board that holds only:

- captures that run in the compiled engine at the stream's own rate;
- impulse responses, which `prepare_for_loop` compiles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pedalboard

from neural_fx.engines import cpu
from neural_fx.engines.cpu import CpuStream
from neural_fx.native_impulse import CompiledFilter, compile_convolutions
from neural_fx.neural import NeuralProcessor, Player
from neural_fx.parameters import Ramp
from neural_fx.pedalboard import Chain, Container, Mix, Pedalboard, Plugin
from neural_fx.placement import captures
from neural_fx.processor import Processor, Spec


def available() -> bool:
    """Return whether this installation has the native loop: the compiled engine, on Linux or macOS."""
    return hasattr(cpu.core, "NativeLoop")


@dataclass(frozen=True)
class Knob:
    """A ramp of a program and its parameter.

    Attributes:
        ramp: the ramp that Python uses.
        owner: the object that has the parameter.
        name: name of the parameter.
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
        knobs: one for each ramp of the program, in order.
        pasts: steps that keep the last inputs of their networks, each with the player that needs them.
    """

    program: Any
    knobs: list[Knob] = field(default_factory=list)
    pasts: list[tuple[int, Player]] = field(default_factory=list)

    def find(self, owner: object, name: str) -> int | None:
        """Return the index of a parameter's ramp, or None if it has none.

        Args:
            owner: the object that has the parameter.
            name: name of the parameter.
        """
        for index, knob in enumerate(self.knobs):
            if knob.owner is owner and knob.name == name:
                return index
        return None

    def target(self, owner: Processor, name: str, value: float) -> float:
        """Return the target of a parameter's ramp for a value, for example a linear gain for a value in dB.

        Args:
            owner: the processor that has the parameter.
            name: name of the parameter.
            value: value in the parameter's own unit.
        """
        return owner._heading(name, value) if isinstance(owner, NeuralProcessor) else value

    def restore(self) -> None:
        """Copy the state of the program back to the Python objects. The loop must not be playing it."""
        for index, knob in enumerate(self.knobs):
            ramp = knob.ramp
            ramp.value, ramp.target, ramp.step, ramp.left, setting = self.program.ramp(index)
            ramp.held = np.float32(ramp.value)
            knob.restore(setting)
        for step, player in self.pasts:
            past = np.empty_like(player.past)
            self.program.remembered(step, past)
            player.past = past


@dataclass(frozen=True)
class Switch:
    """A bypass around a whole board.

    Attributes:
        ramp: goes from 1 (the board) to 0 (the dry input).
        owner: the object that has the parameter ``bypass``.
        value: 0 plays the board, 1 bypasses it.
        restore: sets the value when the board leaves the loop.
    """

    ramp: Ramp
    owner: object
    value: float
    restore: Callable[[float], None]


def native_plan(board: Pedalboard, spec: Spec, switch: Switch | None = None) -> Plan | str:
    """Convert a board for the native loop.

    Args:
        board: a board with an open stream of this shape, at any position.
        spec: rate, channels and block size of the stream. The loop plays blocks of exactly `buffer_size` samples.
        switch: a bypass around the board; None for no bypass.

    Returns:
        The plan, or a sentence that explains why the loop cannot play the board.
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


def settled(board: Pedalboard) -> bool:
    """Return whether all captures of a board keep the size of their network, with no fade to another size due."""
    return all(capture._is_settled() for capture in captures(board))


def prepare_for_loop(board: Pedalboard, spec: Spec) -> bool:
    """Compile the convolutions of a board, if it holds only captures and convolutions.

    Call this before a stream begins.

    Args:
        board: the board, which is changed in place.
        spec: rate, channels and block size of the stream that it will play.

    Returns:
        Whether the board was changed.
    """
    if not available() or not _may_be_native(board):
        return False
    return compile_convolutions(board, spec)


def _may_be_native(plugin: Plugin) -> bool:
    if isinstance(plugin, Container):
        return all(map(_may_be_native, plugin))
    return isinstance(plugin, (NeuralProcessor, pedalboard.Convolution))


class _UnfitError(Exception):
    """The native loop cannot play a part of a board."""


class _Builder:
    """Write the steps of a board into a program."""

    def __init__(self, plan: Plan, spec: Spec) -> None:
        self.plan, self.spec = plan, spec
        self.steps = cpu.core.Do
        self.kept = 0  # number of blocks that later steps still need

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
        elif isinstance(plugin, CompiledFilter):
            self.plan.program.add_networks([stream.kernels for stream in plugin.streams], [])
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
        step = self.plan.program.add_networks([stream.kernels], numbers)
        player = capture._player
        if player.past.shape[2]:  # another size of the network starts with these inputs
            self.plan.program.remember(step, player.past)
            self.plan.pasts.append((step, player))

    def _stream_of(self, capture: NeuralProcessor, where: str) -> CpuStream:
        """Return the compiled stream of a capture.

        Raises:
            _UnfitError: the capture is not played by its compiled stream alone.
        """
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
        if not (isinstance(player.stream, CpuStream) and player.stream.is_native):
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
