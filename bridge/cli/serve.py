"""`neural-fx serve`: the worker."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from bridge.cli.signals import Postponed, postponed


def serve(
    board: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE: a board file, or a capture. Repeat for more.")
    ] = None,
    instrument: Annotated[
        list[str] | None, typer.Option(help="NAME=TIMBRE: a bundled timbre, or a timbre file. Repeat for more.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback wants a --token.")] = "127.0.0.1",
    osc_port: Annotated[int, typer.Option(min=0, max=65535, help="OSC, UDP and TCP.")] = 9000,
    osc_reply_port: Annotated[int, typer.Option(min=1, max=65535, help="Where UDP senders are answered.")] = 9001,
    oscquery_port: Annotated[int, typer.Option(min=0, max=65535, help="OSCQuery, HTTP and websocket.")] = 9002,
    announce: Annotated[bool, typer.Option("--announce/--no-announce", help="Tell OSCQuery by zeroconf.")] = True,
    stream_port: Annotated[int, typer.Option(min=0, max=65535, help="Audio clients.")] = 9010,
    token: Annotated[
        str, typer.Option(help="What audio clients, browsers and other machines must give.", envvar="NEURAL_FX_TOKEN")
    ] = "",
    media: Annotated[list[Path] | None, typer.Option(help="Folder whose files OSC may name. Repeat for more.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="OSC may replace files there.")] = False,
    allow_plugins: Annotated[
        bool,
        typer.Option("--allow-plugins", help="Boards from the network may run VST3s and installed processors."),
    ] = False,
    device: Annotated[
        str,
        typer.Option(help="Of all streams: cpu, cpu-fast, cuda, mps, torch; auto: cpu, later ones cuda."),
    ] = "auto",
    live: Annotated[
        str, typer.Option(help="jack: every board is a JACK client; portaudio: an audio interface; none.")
    ] = "none",
    live_device: Annotated[str, typer.Option(help="Name of the JACK server, or a part of the interface's.")] = "",
    live_channels: Annotated[int, typer.Option(min=1, max=64, help="Audio ports each way of every board.")] = 2,
    midi: Annotated[str, typer.Option(help="A MIDI input port, by a part of its name.")] = "",
    config: Annotated[Path | None, typer.Option(help="YAML with boards, media and the MIDI map.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Log lines instead of a status screen.")] = False,
) -> None:
    """Host boards for DAWs, patches and scripts: audio over TCP, control over OSC.

    Ctrl-C or SIGTERM end it, SIGHUP reads the board files again.
    """
    from bridge.config import Config, read_config
    from bridge.errors import BridgeError
    from bridge.security import in_url
    from bridge.worker import Options, Worker

    if live not in ("jack", "portaudio", "none"):
        raise BridgeError(f"--live {live}: expected jack, portaudio or none")
    file = read_config(config) if config else Config()
    boards = {**file.boards, **{n: Path(path) for n, path in _named(board, file.boards, "--board", "FILE").items()}}
    instruments = {**file.instruments, **_named(instrument, file.instruments, "--instrument", "TIMBRE")}
    console = Console(stderr=True)
    options = Options(
        boards,
        host,
        osc_port,
        osc_reply_port,
        oscquery_port,
        announce,
        stream_port,
        token,
        (*file.media, *(media or ())),
        overwrite,
        device,
        live,
        live_channels,
        live_device,
        midi_port=midi,
        midi=file.midi,
        config=config,
        instruments=instruments,
        allow_plugins=allow_plugins,
    )
    # A list, because a handler must not wait for a lock that the main thread may hold.
    hangups: list[int] = []
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda number, frame: hangups.append(number))
    # Until the worker runs, a signal ends the command at once: an audio server may not answer for a long time.
    worker = Worker(options, lambda sentence: console.print(sentence, highlight=False, markup=False, soft_wrap=True))
    with postponed() as ending:
        try:
            gc.collect()
            gc.freeze()  # a collection that walks over all of this takes longer than a small block
            console.print(
                f"boards {', '.join(worker.boards)}; audio on {in_url(host)}:{worker.streams.port}, "
                f"OSC on {in_url(host)}:{worker.osc.port}, replies to port {osc_reply_port}, "
                f"OSCQuery on {worker.query.url}" + (" (browsers: add ?token= and your token)" if token else ""),
                highlight=False,
                soft_wrap=True,  # a URL in two lines cannot be opened
            )
            if plain or not console.is_terminal:
                _wait(worker, ending, hangups)
            else:
                with Live(_table(worker.status()), console=console, refresh_per_second=4) as screen:
                    _wait(worker, ending, hangups, lambda: screen.update(_table(worker.status())))
        finally:
            worker.close()
            gc.unfreeze()


def _named(texts: list[str] | None, taken: Mapping[str, object], option: str, what: str) -> dict[str, str]:
    """The names and values of an option that may be repeated."""
    from bridge.errors import BridgeError

    found: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not value or name in found or name in taken:
            raise BridgeError(f"{option} {text}: expected NAME={what}, every name once")
        found[name] = value
    return found


def _wait(worker: Any, ending: Postponed, hangups: list[int], show: Any = lambda: None) -> None:
    """Reload the boards after each SIGHUP, and return once the command is asked to end."""
    while not ending.arrived():
        if hangups:
            hangups.clear()
            worker.reload()
        show()
        time.sleep(0.1)


def _table(status: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("board", "streams", "load", "late blocks", "latency", ""):
        table.add_column(heading)
    for row in status:
        problems = ["failed: bypassed"] * bool(row["muted"])
        problems += ["live audio: not connected"] * (row["live"] == "not connected")
        problem = f"[red]{', '.join(problems)}[/red]" if problems else ""
        cells = (row["board"], row["streams"], f"{100 * row['load']:.0f} %", row["late"], row["latency"], problem)
        table.add_row(*map(str, cells))
    return table
