"""Boards that the worker hosts: one table of parameters each, any number of streams, changed while they play."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import mido

from bridge.host.changes import Change, all_notes_off
from bridge.host.hosted import SWITCH, Hosted, inside
from bridge.host.latest import Latest
from bridge.host.sources import ForeignBoard
from bridge.host.stream import BoardStream, Voice
from bridge.host.telemetry import BoardTelemetry, Observer
from neural_fx.boards import board_text, save_board
from neural_fx.errors import BoardError, reason
from neural_fx.inputs import printable
from neural_fx.parameters import Parameter
from neural_fx.pedalboard import Pedalboard
from neural_fx.placement import LivePlacement
from neural_fx.processor import Spec
from neural_fx.slots import parameter_values, set_parameter, slot_names


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
        self._loading = threading.Lock()
        self._loads = Latest(f"load-{name}")
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
        for message in all_notes_off():
            self.play(message)

    # -- boards and streams ----------------------------------------------------------------------------------------

    def load(self, make: Callable[[], Pedalboard], keep: bool = False) -> None:
        """Change to another board: built and prepared here, cross-faded by every stream. A failure changes nothing.

        Args:
            make: builds the board.
            keep: whether values and bypasses stay as they are, at all addresses that both boards have.

        Raises:
            NeuralFXError: the board cannot be built, or one from the network did not pass its trial.
        """
        with self._loading:
            try_out(make, (stream.spec for stream in list(self.streams)))
            master = self.hosted(make())
            prepared: dict[BoardStream, Voice] = {}
            while True:
                with self.lock:
                    newer = [stream for stream in self.streams if stream not in prepared]
                    if not newer:
                        if keep:
                            self._keep_values([master, *(voice.board for voice in prepared.values())])
                        self._change_to(make, master, prepared, self.bypassed if keep else 0.0)
                        return
                try_out(make, (stream.spec for stream in newer))
                for stream in newer:
                    prepared[stream] = stream.prepared(self._placed(make(), stream))

    def _keep_values(self, boards: Iterable[Hosted]) -> None:
        """Give the values as they stand to boards that are about to be played. The lock is held."""
        values = self.master.values()
        for board in boards:
            fresh = board.values()
            for address in board.knobs():
                if address in values and fresh[address] != values[address]:
                    board.apply(address, values[address])

    def _change_to(
        self, make: Callable[[], Pedalboard], master: Hosted, prepared: dict[BoardStream, Voice], bypassed: float
    ) -> None:
        self.make, self.master, self.bypassed = make, master, bypassed
        self.changed |= set(self.table())
        for stream in self.streams:
            stream.replace(prepared[stream])
            stream.change(Change("bypass", bypassed))

    def load_soon(
        self,
        find: Callable[[], Callable[[], Pedalboard]],
        done: Callable[[], None],
        failed: Callable[[str], None],
        keep: bool = False,
    ) -> None:
        """Load another board on a thread of this board's own, one at a time; of those that wait, the latest.

        Args:
            find: returns what builds the board; called on that thread.
            done: told when it is loaded.
            failed: told why it is not, such as that a later one came before it began.
            keep: as for `load`.
        """

        def work() -> None:
            try:
                self.load(find(), keep)
            except Exception as error:  # plugins by anyone can raise anything; the board stays
                failed(reason(error))
            else:
                done()

        self._loads.put(work, lambda: failed("not loaded: another load of this board came before it began"))

    def open(self, spec: Spec) -> BoardStream:
        """A new stream, with the parameters as they stand.

        Raises:
            NeuralFXError: the board cannot be built or does not take this rate or number of channels, or one from
                the network did not pass its trial.
        """
        while True:
            make = self.make
            try_out(make, [spec])
            stream = self._opened(make, spec)
            if stream is not None:
                return stream

    def _opened(self, make: Callable[[], Pedalboard], spec: Spec) -> BoardStream | None:
        """Return a new stream of a board, or None if another board was loaded meanwhile."""
        made = make()
        share = self.placement.put(made, spec.channels)
        try:
            board = self.hosted(made)
            with self.lock:
                if self.make is make:
                    return self._added(board, spec, share)
        except BaseException:
            self.placement.end(share)
            raise
        self.placement.end(share)
        return None

    def _added(self, board: Hosted, spec: Spec, share: float) -> BoardStream:
        fresh, wanted = board.values(), self.master.values()
        for address in self.master.knobs():
            if fresh[address] != wanted[address]:
                board.apply(address, wanted[address])
        stream = BoardStream(board, spec, lambda sentence: self.notify(self.name, printable(sentence)))
        stream.share, stream.bypass = share, self.bypassed
        self.streams.append(stream)
        return stream

    def _placed(self, board: Pedalboard, stream: BoardStream) -> Pedalboard:
        """A board that a stream is to change to, on the device that is right for it."""
        self.placement.end(stream.share)
        stream.share = self.placement.put(board, stream.spec.channels)
        return board

    def telemetry(self, observer: Observer | None = None) -> BoardTelemetry:
        """Return a snapshot of all streams.

        Args:
            observer: whose peaks are those since its previous snapshot; None for the peaks of the latest blocks.
        """
        return (observer or Observer()).snapshot(self.streams)

    def copy(self, spec: Spec | None = None) -> Pedalboard:
        """The board as a plain one, with the parameters as they stand (bypassed slots play).

        Args:
            spec: how it will be played; a board from the network is tried out at that first.

        Raises:
            NeuralFXError: it cannot be built, or did not pass its trial.
        """
        with self.lock:
            make, master = self.make, self.master
        if spec is not None:
            try_out(make, [spec])
        board = make()
        with self.lock:
            board.mix = master.mix
            for holder, plugin in zip(master, board, strict=True):
                for name, value in parameter_values(inside(holder)).items():
                    set_parameter(plugin, name, value)
        return board

    def text(self, folder: Path) -> str:
        """The board with its parameters as they stand, as the YAML of a file in a folder; "" where it has none."""
        with self.lock:
            board = self._plain(slot_names(self.master))
            try:
                return board_text(board, folder)
            except BoardError:
                return ""

    def save(self, path: Path) -> None:
        """Write the board, with the parameters as they stand, to a board file. Builds nothing.

        Raises:
            BoardError: it has a plugin that a file cannot name.
        """
        with self.lock:
            board = self._plain(self.master.given_names)
        save_board(board, path, overwrite=True)

    def _plain(self, names: Iterable[str | None]) -> Pedalboard:
        """Return a board of the plugins whose values `master` keeps, which is not to be played."""
        board = Pedalboard([inside(slot) for slot in self.master], mix=self.master.mix)
        for name, plugin in zip(names, list(board), strict=True):
            if name is not None:
                board.name_slot(plugin, name)
        board.name, board.macros = self.master.name, self.master.given
        return board

    def close(self, stream: BoardStream) -> None:
        """Forget a stream."""
        with self.lock:
            if stream in self.streams:
                self.streams.remove(stream)
                self.placement.end(stream.share)


def try_out(make: Callable[[], Pedalboard], specs: Iterable[Spec]) -> None:
    """Try a board from the network out at some rates and numbers of channels; the user's own boards are not tried.

    Raises:
        BoardError: it did not pass.
    """
    if isinstance(make, ForeignBoard):
        make.try_at(specs)
