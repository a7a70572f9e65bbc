"""Boards that the worker hosts: one table of parameters each, any number of streams, changed while they play."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import mido
import numpy as np
from numpy.typing import NDArray

import neural_fx
from bridge.media import Media
from bridge.protocol import Event
from instruments import InstrumentPlayer
from neural_fx.boards import MAX_BYTES, board_text, load_board
from neural_fx.errors import BoardError, NeuralFXError, ParameterError, reason
from neural_fx.inputs import read_bytes
from neural_fx.macros import Macro, default_macros
from neural_fx.native_runs import Queue
from neural_fx.neural import NeuralProcessor
from neural_fx.parameters import Parameter, Ramp, unknown_parameter
from neural_fx.pedalboard import Container, Pedalboard, Plugin
from neural_fx.placement import LivePlacement
from neural_fx.processor import Spec
from neural_fx.slots import find_slot, known_parameters, parameter_values, set_parameter, slot_names
from neural_fx.values import shown, suggestion

Audio = NDArray[np.float32]

FADE_SECONDS = 0.02
WARM_SECONDS = 0.15
"""A new board plays along, unheard, for this long before it fades in: longer than any common receptive field."""
MOST_PENDING = 65536
CLOCK_SLACK = 0.25
"""Seconds by which a stream's own clock, which counts frames, may be off before it is set anew."""

SWITCH = Parameter("bypass", 0, 1, 0, description="1 passes the dry input, in time")


class Hosted(Pedalboard):
    """A board whose slots can be bypassed: every plugin in a board of its own, whose mix is the switch.

    Its macros, or those that it has by default, are at ``macro/1`` and so on.
    """

    def __init__(self, board: Pedalboard) -> None:
        super().__init__(mix=board.mix)
        self.name = board.name
        self.players = [plugin for plugin in board if isinstance(plugin, InstrumentPlayer)]
        for name, plugin in zip(slot_names(board), board, strict=True):
            slot = Pedalboard([plugin])
            self.append(slot)
            self.name_slot(slot, name)
        self.given = board.macros
        self.macros = board.macros or default_macros(self.knobs())
        shares = [macro.position(self.knobs(), self._value) for macro in self.macros]
        self._macro_table = {
            f"macro/{i}": Parameter(f"macro/{i}", 0, 1, share, description=macro.name)
            for i, (macro, share) in enumerate(zip(self.macros, shares, strict=True), 1)
        }

    def table(self) -> dict[str, Parameter | None]:
        """Addresses with their parameters; None for one whose range is not known."""
        return {**self.knobs(), **self._macro_table}

    def knobs(self) -> dict[str, Parameter | None]:
        """`table` without the macros: what macros turn."""
        found: dict[str, Parameter | None] = {"mix": self.parameters["mix"]}
        for name, slot in zip(slot_names(self), self, strict=True):
            found[f"{name}/bypass"] = SWITCH
            known = known_parameters(inside(slot))
            found |= {f"{name}/{parameter}": known.get(parameter) for parameter in parameter_values(inside(slot))}
        return found

    @property
    def takes_notes(self) -> bool:
        """Whether it has an instrument."""
        return bool(self.players)

    @property
    def output_level(self) -> str:
        """``normalized`` if one of its captures is, else ``raw``."""
        return "normalized" if _normalized(self) else "raw"

    def canonical(self, address: str) -> str:
        """The address as `table` has it, for one whose slot is given by number.

        Raises:
            ParameterError: there is no such slot or parameter; lists what there is.
        """
        if address in self._macro_table:
            return address
        slot, slash, name = address.rpartition("/")
        if not slash:
            if name != "mix":
                hint = suggestion(address, ["bypass", *self.table()])
                raise ParameterError(f"nothing at {shown(address)}{hint}; there is bypass, mix and SLOT/PARAM")
            return name
        holder = find_slot(self, slot)
        known = ["bypass", *parameter_values(inside(holder))]
        if name not in known:
            raise unknown_parameter(slot, name, known)
        return f"{slot_names(self)[list(self).index(holder)]}/{name}"

    def macro(self, address: str) -> Macro | None:
        """The macro at a canonical address, if it is one's."""
        return self.macros[list(self._macro_table).index(address)] if address in self._macro_table else None

    def moved_by(self, address: str) -> list[str]:
        """The addresses whose values change when a canonical address is set: its own, and what a macro turns."""
        macro = self.macro(address)
        return [address, *(target.address for target in macro.targets)] if macro is not None else [address]

    def value(self, address: str) -> object:
        """The value at a canonical address."""
        macro = self.macro(address)
        return macro.position(self.knobs(), self._value) if macro is not None else self._value(address)

    def _value(self, address: str) -> object:
        slot, _, name = address.rpartition("/")
        if not slot:
            return self.mix
        holder = find_slot(self, slot)
        if name == "bypass":
            return 1.0 - cast("Pedalboard", holder).mix
        return parameter_values(inside(holder))[name]

    def apply(self, address: str, value: object) -> None:
        """Set the value at a canonical address, or send a MIDI message to the board's instruments.

        Raises:
            ParameterError: out of range, or of the wrong type.
        """
        if isinstance(value, mido.Message):
            for player in self.players:
                player.send(value)
            return
        macro = self.macro(address)
        if macro is None:
            self._apply(address, value)
            return
        for place, target in macro.values(self.knobs(), self._macro_table[address].check(value)).items():
            self._apply(place, target)

    def _apply(self, address: str, value: object) -> None:
        slot, _, name = address.rpartition("/")
        if not slot:
            self.set_parameter(name, value)
            return
        holder = find_slot(self, slot)
        if name == "bypass":
            cast("Pedalboard", holder).set_parameter("mix", 1.0 - round(SWITCH.check(value)))
        else:
            set_parameter(inside(holder), name, value)


def _normalized(plugin: Plugin) -> bool:
    if isinstance(plugin, Container):
        return any(map(_normalized, plugin))
    return isinstance(plugin, NeuralProcessor) and plugin.output_level == "normalized"


def inside(slot: Plugin) -> Plugin:
    """The plugin that a slot of a `Hosted` board holds."""
    return cast("Pedalboard", slot)[0]


@dataclass(frozen=True)
class Change:
    """A parameter's new value, `offset` frames into the next block, or at the time `when`."""

    address: str
    value: object
    offset: int = 0
    when: float = 0.0


class BoardHost:
    """A named board.

    Args:
        name: as OSC addresses and clients say it.
        make: builds the board; called once for the table and once for every stream.
        notify: told (board name, sentence) when a stream's board fails.
        placement: decides on which device its streams run; None: ``auto``, for this board alone.

    Raises:
        NeuralFXError: the board cannot be built.
    """

    hosted: type[Hosted] = Hosted

    def __init__(
        self,
        name: str,
        make: Callable[[], Pedalboard],
        notify: Callable[[str, str], None] = lambda name, sentence: None,
        placement: LivePlacement | None = None,
    ) -> None:
        self.name, self.make, self.notify = name, make, notify
        self.placement = placement or LivePlacement()
        self.lock = threading.RLock()
        self.master = self.hosted(make())
        self.bypassed = 0.0
        self.changed: set[str] = set()
        self.streams: list[BoardStream] = []

    # -- parameters ------------------------------------------------------------------------------------------------

    def table(self) -> dict[str, Parameter | None]:
        """Every address below the board: ``bypass``, ``mix``, ``SLOT/bypass``, ``SLOT/PARAM``, with its parameter.

        None stands for a choice such as a filter mode, and for a parameter of a VST3.
        """
        return {"bypass": SWITCH, **self.master.table()}

    def canonical(self, address: str) -> str:
        """The address as `table` has it; slots may also be given by number from 1.

        Raises:
            ParameterError: nothing at that address; lists what there is.
        """
        return address if address == "bypass" else self.master.canonical(address)

    def value(self, address: str) -> object:
        """The value at an address.

        Raises:
            ParameterError: nothing at that address; lists what there is.
        """
        address = self.canonical(address)
        return self.bypassed if address == "bypass" else self.master.value(address)

    def set(self, address: str, value: object, when: float = 0.0) -> None:
        """Set a parameter of all streams, at once or, to the sample, at the time `when` (as `time.time` tells it).

        Raises:
            ParameterError: nothing at that address, or a value out of range.
        """
        with self.lock:
            address = self.canonical(address)
            if address == "bypass":
                self.bypassed = float(round(SWITCH.check(value)))
            else:
                self.master.apply(address, value)
            self.changed |= set(self.master.moved_by(address))
            for stream in self.streams:
                stream.change(Change(address, value, when=when))

    @property
    def output_level(self) -> str:
        """The level of a capture that is to take the board's place: ``normalized`` if the board is, else ``raw``."""
        return self.master.output_level

    @property
    def takes_notes(self) -> bool:
        """Whether the board has an instrument."""
        return self.master.takes_notes

    def play(self, message: mido.Message, when: float = 0.0, offset: int = 0) -> None:
        """Send a MIDI message to all streams: at once, `offset` frames into the next block, or at the time `when`."""
        with self.lock:
            for stream in self.streams:
                stream.change(Change("", message, offset, when))

    def panic(self) -> None:
        """End all notes."""
        for channel in range(16):
            for number, value in ((64, 0), (123, 0), (121, 0)):
                self.play(mido.Message("control_change", channel=channel, control=number, value=value))

    # -- boards and streams ----------------------------------------------------------------------------------------

    def load(self, make: Callable[[], Pedalboard]) -> None:
        """Change to another board: built and prepared here, cross-faded by every stream. A failure changes nothing.

        Raises:
            NeuralFXError: the board cannot be built.
        """
        master = self.hosted(make())
        with self.lock:
            streams = list(self.streams)
        prepared = [(stream, stream.prepared(self._placed(make(), stream))) for stream in streams]
        with self.lock:
            self.make, self.master, self.bypassed = make, master, 0.0
            self.changed |= set(self.table())
            newer = [stream for stream in self.streams if all(stream is not known for known, _ in prepared)]
            late = ((stream, stream.prepared(self._placed(make(), stream))) for stream in newer)
            for stream, voice in [*prepared, *late]:
                stream.replace(voice)

    def open(self, spec: Spec) -> BoardStream:
        """A new stream, with the parameters as they stand.

        Raises:
            NeuralFXError: the board cannot be built or does not take this rate or number of channels.
        """
        made = self.make()
        share = self.placement.put(made, spec.channels)
        try:
            board = self.hosted(made)
            with self.lock:
                for address in self.master.knobs():
                    if board.value(address) != self.master.value(address):
                        board.apply(address, self.master.value(address))
                stream = BoardStream(board, spec, lambda sentence: self.notify(self.name, sentence))
                stream.share, stream.bypass = share, self.bypassed
                self.streams.append(stream)
        except BaseException:
            self.placement.end(share)
            raise
        return stream

    def _placed(self, board: Pedalboard, stream: BoardStream) -> Pedalboard:
        """A board that a stream is to change to, on the device that is right for it."""
        self.placement.end(stream.share)
        stream.share = self.placement.put(board, stream.spec.channels)
        return board

    def copy(self) -> Pedalboard:
        """The board as a plain one, with the parameters as they stand (bypassed slots play)."""
        board = self.make()
        with self.lock:
            board.mix = self.master.mix
            for holder, plugin in zip(self.master, board, strict=True):
                for name, value in parameter_values(inside(holder)).items():
                    set_parameter(plugin, name, value)
        return board

    def text(self, folder: Path) -> str:
        """The board with its parameters as they stand, as the YAML of a file in a folder; "" where it has none."""
        with self.lock:
            board = Pedalboard([inside(slot) for slot in self.master], mix=self.master.mix)
            for name, plugin in zip(slot_names(self.master), board, strict=True):
                board.name_slot(plugin, name)
            board.name, board.macros = self.master.name, self.master.given
            try:
                return board_text(board, folder)
            except BoardError:
                return ""

    def save(self, path: Path) -> None:
        """Write the board, with the parameters as they stand, to a board file.

        Raises:
            BoardError: it has a plugin that a file cannot name.
        """
        self.copy().save(path, overwrite=True)

    def close(self, stream: BoardStream) -> None:
        """Forget a stream."""
        with self.lock:
            if stream in self.streams:
                self.streams.remove(stream)
                self.placement.end(stream.share)


def _late(channels: int, samples: int) -> Queue:
    """A queue whose output is `samples` behind its input."""
    queue = Queue(channels)
    queue.put(np.zeros((channels, samples), np.float32))
    return queue


class Voice:
    """A board on one stream: as many samples out as in, `latency` samples late."""

    def __init__(self, board: Hosted, spec: Spec) -> None:
        self.board = board
        board.open_stream(spec)
        self.latency = board.latency_samples
        self.ready = _late(spec.channels, self.latency)

    def process(self, block: Audio) -> Audio:
        """A block of any length up to the stream's."""
        for part in self.board.push(block):
            self.ready.put(part)
        missing = block.shape[1] - len(self.ready)
        if missing > 0:  # a member held back more than it had said: time stays, a gap is heard
            self.ready.put(np.zeros((block.shape[0], missing), np.float32))
        return self.ready.take(block.shape[1])


class BoardStream:
    """One stream of a hosted board. `process` belongs to one engine thread; everything else to any.

    Attributes:
        late: blocks that took longer to compute than to play.
        load: share of the time that computing takes, smoothed.
        peak: largest magnitudes (in, out) since last asked.
        share: of the CPU's load, as `LivePlacement.put` told it.
    """

    def __init__(self, board: Hosted, spec: Spec, failed: Callable[[str], None]) -> None:
        self.spec, self.failed = spec, failed
        self.voice, self.next = Voice(board, spec), None
        self.changes: deque[Change] = deque(maxlen=MOST_PENDING)
        self.muted = False
        self.bypass = 0.0
        self.blocks = self.late = 0
        self.load = self.share = 0.0
        self.peak = [0.0, 0.0]
        self._wet = Ramp(1.0, round(FADE_SECONDS * spec.sample_rate))
        self._dry = _late(spec.channels, self.voice.latency)
        self._warming = self._faded = 0
        self._clock = 0.0

    next: Voice | None

    @property
    def latency(self) -> int:
        """Samples that the output is behind the input."""
        return self.voice.latency

    def change(self, change: Change) -> None:
        """Queue a parameter change; thread-safe."""
        self.changes.append(change)

    def prepared(self, board: Pedalboard) -> Voice:
        """A board made ready for this stream, off its thread."""
        return Voice(type(self.voice.board)(board), self.spec)

    def replace(self, voice: Voice) -> None:
        """Play a prepared board along from the next block on, and fade over to it."""
        self._warming = round(WARM_SECONDS * self.spec.sample_rate)
        self._faded = 0
        self.next = voice

    def process(self, block: Audio, events: Sequence[Event] = ()) -> Audio:
        """The next block (channels, frames); never raises, never returns another length."""
        began = time.perf_counter()
        try:
            out = self._scheduled(block, events)
        except Exception as error:  # a board of plugins by anyone can raise anything
            self.muted = True
            self.failed(f"the board failed and is bypassed: {type(error).__name__}: {reason(error)}")
            self._dry = _late(self.spec.channels, self.voice.latency)
            out = self._through(block)
        self._count(block, out, time.perf_counter() - began)
        return out

    def _scheduled(self, block: Audio, events: Sequence[Event]) -> Audio:
        changes = [c for event in events if (c := _change(event, self.voice.board.takes_notes)) is not None]
        changes += self._due(block.shape[1])
        parts, at, count = [], 0, block.shape[1]
        for change in _last_ones(sorted(changes, key=lambda change: change.offset)):
            place = min(max(change.offset, at), count)
            if place > at:
                parts.append(self._play(block[:, at:place]))
                at = place
            self._do(change)
        if at < count or not parts:
            parts.append(self._play(block[:, at:]))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, 1)

    def _due(self, count: int) -> list[Change]:
        """The queued changes that belong to the next `count` frames; those of later times stay queued."""
        now = time.time()
        if abs(now - self._clock) > CLOCK_SLACK:  # the first block, or the stream paused
            self._clock = now
        end, due = self._clock + count / self.spec.sample_rate, []
        for _ in range(len(self.changes)):
            change = self.changes.popleft()
            if change.when >= end:
                self.changes.append(change)
                continue
            if change.when > self._clock:
                early = round((change.when - self._clock) * self.spec.sample_rate)
                change = replace(change, offset=max(change.offset, early))
            due.append(change)
        self._clock = end
        return due

    def _do(self, change: Change) -> None:
        if change.address == "bypass":
            try:
                self.bypass = SWITCH.check(change.value)
            except ParameterError as error:
                self.failed(str(error))
            return
        for voice in (self.voice, self.next):
            if voice is not None:
                try:
                    notes = isinstance(change.value, mido.Message)
                    voice.board.apply("" if notes else voice.board.canonical(change.address), change.value)
                except NeuralFXError as error:
                    self.failed(str(error))

    def _play(self, block: Audio) -> Audio:
        if self.muted and self.next is not None:  # what failed is not played again, so there is nothing to fade from
            self.voice, self.next, self.muted = self.next, None, False
        if self.muted:
            return self._through(block)
        wet = self.voice.process(block)
        if self.next is not None:
            wet = self._faded_over(wet, self.next.process(block))
        self._dry.put(block)
        dry = self._dry.take(block.shape[1])
        self._wet.aim(1.0 - self.bypass)
        amount = self._wet.next(block.shape[1])
        return wet if np.ndim(amount) == 0 and amount == 1 else dry + amount * (wet - dry)

    def _faded_over(self, old: Audio, new: Audio) -> Audio:
        count = old.shape[1]
        self._warming -= count
        if self._warming > 0:
            return old
        length = round(FADE_SECONDS * self.spec.sample_rate)
        weight = np.clip((self._faded + np.arange(1, count + 1)) / length, 0, 1).astype(np.float32)
        self._faded += count
        if self._faded >= length:
            assert self.next is not None
            longer = self.next.latency - self.voice.latency
            if longer > 0:
                self._dry.put(np.zeros((self.spec.channels, longer), np.float32))
            elif longer < 0:
                self._dry.take(-longer)
            self.voice, self.next = self.next, None
        return old + weight * (new - old)

    def _through(self, block: Audio) -> Audio:
        self._dry.put(block)
        return self._dry.take(block.shape[1])

    def _count(self, block: Audio, out: Audio, spent: float) -> None:
        self.blocks += 1
        due = max(block.shape[1], 1) / self.spec.sample_rate
        self.late += spent > due
        self.load += 0.05 * (spent / due - self.load)
        for i, audio in enumerate((block, out)):
            if audio.size:
                self.peak[i] = max(self.peak[i], float(np.abs(audio).max()))


def _last_ones(changes: Iterable[Change]) -> list[Change]:
    """Of several changes of a parameter at one frame the last; all MIDI messages. A fader sends many in a block."""
    found: dict[object, Change] = {}
    for change in changes:
        key = (change.offset, change.address) if change.address else id(change)
        found.pop(key, None)
        found[key] = change
    return list(found.values())


def _change(event: Event, notes: bool) -> Change | None:
    """What a client's event asks for; None for MIDI that nobody takes, or that is none."""
    if event.address:
        return Change(event.address, event.value, event.offset)
    try:
        return Change("", mido.Message.from_bytes(event.midi), event.offset) if notes else None
    except ValueError:
        return None


def board_in(text: str, media: Media) -> Callable[[], Pedalboard]:
    """A builder of boards from the text of a board file that came from a client: it may use the media folders alone.

    Raises:
        BoardError: the text is no board, or names a file elsewhere.
    """

    def make() -> Pedalboard:
        return load_board(media.base / "session", text.encode(), media.holds)

    make()
    return make


def board_from(path: str | Path, level: str = "raw") -> Callable[[], Pedalboard]:
    """A builder of boards from a board file as it is now, or of a board with one capture from a capture's file.

    Args:
        path: the file.
        level: output level of a capture, ``raw`` or ``normalized``; a board file says those of its captures itself.

    Raises:
        BoardError: the board file cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        return lambda: Pedalboard([neural_fx.load(path, level=level)])
    text = read_bytes(path, MAX_BYTES, BoardError, "a board")
    return lambda: load_board(path, text)
