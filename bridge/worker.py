"""Run a worker for `neural-fx serve`: boards, and the ports for streams, OSC and OSCQuery."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bridge.commands import reserved_names
from bridge.config import write_controls
from bridge.errors import BridgeError
from bridge.host import BoardHost, InstrumentHost, board_from, instrument_from
from bridge.host.reports import Reports
from bridge.live.board import Kind, LiveBoard
from bridge.media import Media
from bridge.memory import Trimmer, limit_arenas
from bridge.midi import MidiMap, MidiRouter, open_port
from bridge.osc.query import QueryServer
from bridge.osc.server import OscServer
from bridge.osc.tree import Tree
from bridge.security import GuessLimiter, cleaned, is_loopback
from bridge.stream_server import StreamServer
from neural_fx.errors import reason
from neural_fx.pedalboard import Pedalboard
from neural_fx.placement import LivePlacement
from neural_fx.slots import slug


@dataclass(frozen=True)
class Options:
    """Settings of a worker. They are the options of `neural-fx serve`."""

    boards: Mapping[str, Path]
    host: str = "127.0.0.1"
    osc_port: int = 9000
    osc_reply_port: int = 9001
    oscquery_port: int = 9002
    announce: bool = True
    stream_port: int = 9010
    token: str = ""
    media: tuple[Path, ...] = ()
    overwrite: bool = False
    device: str = "auto"
    live: str = "none"
    live_channels: int = 2
    live_device: str = ""
    midi_port: str = ""
    midi: MidiMap = field(default_factory=MidiMap)
    config: Path | None = None
    instruments: Mapping[str, str] = field(default_factory=dict)
    allow_plugins: bool = False


class Worker:
    """A running worker.

    Args:
        options: the settings.
        log: called with sentences for the user, from any thread.

    Raises:
        NeuralFXError: a board cannot be built, a name is not valid in an address, or a port is taken.
    """

    def __init__(self, options: Options, log: Callable[[str], None] = lambda sentence: None) -> None:
        if not is_loopback(options.host) and not options.token:
            raise BridgeError(f"--host {options.host} can be reached from other machines; choose a --token for it")
        if options.live == "portaudio" and len(options.boards) + len(options.instruments) > 1:
            raise BridgeError("an audio interface plays one board or instrument with --live portaudio; say only one")
        self.options = options
        clean = cleaned(log)  # sentences may quote text from the network
        # A terminal or a pipe that takes nothing must not stop whoever has something to say.
        self.sentences = Reports(lambda _, sentence: clean(sentence), repeat_seconds=0)
        self.log = log = lambda sentence: self.sentences("", sentence)
        self.port: Any = None
        self.live: list[LiveBoard] = []
        limit_arenas()
        self.memory = Trimmer()
        self.reports = Reports(self._report)
        self.placement = LivePlacement(options.device)
        self.boards = {name: self._board(name, path) for name, path in options.boards.items()}
        for name, timbre in options.instruments.items():
            self.boards[name] = self._instrument(name, timbre)
        self.boards = self.boards or {"board": BoardHost("board", Pedalboard, self.reports, self.placement)}
        self.router = MidiRouter(self.boards, options.midi, log, self._learned)
        sys.setswitchinterval(0.0001)  # audio threads cannot wait for the default of 5 ms
        try:
            kept = () if options.config is None else (options.config,)
            media = Media(options.media, options.overwrite, options.allow_plugins, kept)
            address = options.host, options.stream_port, options.token
            guesses = GuessLimiter()
            self.streams = StreamServer(self.boards, *address, media, log, self.placement, guesses=guesses)
            self.tree = Tree(self.boards, media, self.router.learn)
            self.osc = OscServer(
                self.tree,
                options.host,
                options.osc_port,
                options.osc_reply_port,
                options.token,
                log=log,
                guesses=guesses,
            )
            self.query = QueryServer(self.osc, options.oscquery_port, options.announce)
        except OSError as error:
            self.close()
            hint = "; is a worker running already?" if error.errno == errno.EADDRINUSE else ""
            raise BridgeError(f"a port of {options.host!r} cannot be opened: {reason(error)}{hint}") from None
        try:
            if options.midi_port:
                self.port = open_port(options.midi_port, self.router)
            for host in self.boards.values() if options.live != "none" else ():
                self.live.append(self._live(host))
        except BaseException:
            self.close()
            raise

    def _board(self, name: str, path: Path) -> BoardHost:
        _check_name(name)
        return BoardHost(name, board_from(path), self.reports, self.placement)

    def _instrument(self, name: str, timbre: str) -> BoardHost:
        _check_name(name)
        if name in self.boards:
            raise BridgeError(f"{name!r} is a board already; call the instrument something else")
        return InstrumentHost(name, instrument_from(timbre), self.reports)

    def _live(self, host: BoardHost) -> LiveBoard:
        def midi(offset: int, data: bytes) -> None:
            self.router.feed(data, host.name, offset)

        def unplugged() -> None:
            self.router.release(host.name)

        options = self.options
        kind = cast("Kind", options.live)
        made = LiveBoard(
            host, kind, options.live_channels, options.live_device, midi, unplugged=unplugged, log=self.log
        )
        self.log(f"{host.name}: {made.client} ({options.live}), {made.latency} frames late, {made.path}")
        return made

    def _learned(self, midi: MidiMap) -> None:
        self.log(f"MIDI: controller {midi.controls[-1].cc} moves {midi.controls[-1].to}")
        if self.options.config is not None:
            try:
                write_controls(self.options.config, midi)
            except (BridgeError, OSError) as error:
                self.log(f"MIDI: the map could not be kept: {reason(error)}")

    def _report(self, name: str, sentence: str) -> None:
        self.log(f"{name}: {sentence}")
        osc = getattr(self, "osc", None)
        for subscriber in list(osc.subscribers.values()) if osc else []:
            subscriber.reply("/error", f"/{name}", sentence)

    def reload(self) -> None:
        """Read all board files again, on threads. A board whose file has an error stays, and the error is logged."""
        for name, path in self.options.boards.items():
            self._reload(name, path)

    def _reload(self, name: str, path: Path) -> None:
        self.boards[name].load_soon(
            lambda: board_from(path),
            lambda: self.log(f"{name}: loaded again"),
            lambda sentence: self.log(f"{name}: stays as it was: {sentence}"),
        )

    def status(self) -> list[dict[str, object]]:
        """Return the state of every board.

        Returns:
            A mapping for each board: ``board`` (name), ``streams``, ``load``, ``late`` (blocks), ``latency`` (samples),
            ``muted`` (streams) and ``live``. ``live`` is ``connected``, ``not connected``, or empty without live audio.
        """
        found: list[dict[str, object]] = []
        live = {board.host.name: "connected" if board.connected else "not connected" for board in self.live}
        for name, host in self.boards.items():
            telemetry = host.telemetry()
            found.append(
                {
                    "board": name,
                    "streams": telemetry.streams,
                    "load": telemetry.load,
                    "late": telemetry.late,
                    "latency": telemetry.latency,
                    "muted": telemetry.muted,
                    "live": live.get(name, ""),
                }
            )
        return found

    def close(self) -> None:
        """Disconnect all clients and free the ports."""
        for board in self.live:
            board.hang_up()
        for board in self.live:
            board.close()
        if self.port is not None:
            self.port.close()
        for server in ("query", "osc", "streams"):
            if hasattr(self, server):
                getattr(self, server).close()
        if hasattr(self, "tree"):
            self.tree.close()
        self.reports.close()
        self.sentences.close()
        self.memory.close()


def _check_name(name: str) -> None:
    reserved = reserved_names()
    if slug(name) != name or name in reserved:
        raise BridgeError(f"name {name!r}: lower case letters, digits and dashes, and none of {', '.join(reserved)}")
