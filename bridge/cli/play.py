"""`neural-fx play`, `instruments` and `timbres`: play MIDI files with neural instruments, and list their sounds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from neural_fx.errors import NeuralFXError


def play(
    song: Annotated[Path, typer.Argument(help="MIDI file.")],
    out: Annotated[str, typer.Option("-o", "--out", help="Audio file to write, or a folder (NAME/).")],
    instrument: Annotated[
        str | None,
        typer.Option(help="Instrument for all channels that --channel does not name. See `neural-fx instruments`."),
    ] = None,
    channel: Annotated[
        list[str] | None, typer.Option(help="Instrument of one channel as N=INSTRUMENT, N from 1 to 16. Repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="PARAM=VALUE for all channels, or N.PARAM=VALUE for channel N. Repeatable."),
    ] = None,
    sample_rate: Annotated[int, typer.Option(min=8000, max=192000, help="Sample rate of the output in Hz.")] = 48000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report on standard output.")] = False,
) -> None:
    """Render a multi-track MIDI file with neural instruments.

    Drums (channel 10) are skipped.
    """
    import numpy as np

    from instruments import open_instrument
    from instruments.song import DRUMS, TAIL, perform, read_song
    from neural_fx.inputs import printable, special_problem
    from neural_fx.outputs import check_output, output_file
    from neural_fx.render import write_audio
    from neural_fx.render.plans import file_format

    problem = special_problem(song)
    if problem is not None:
        raise NeuralFXError(f"{song}: {problem}")
    target = output_file(out, f"{song.stem}.wav")
    file_format(target)
    check_output(target, overwrite, [song])
    music = read_song(song)
    named = _channels(channel or [])
    console = Console(stderr=True)
    for remark in music.remarks:
        console.print(f"{song}: {remark}", highlight=False, markup=False, soft_wrap=True)
    for number in named:
        if number not in music.channels:
            console.print(f"channel {number + 1} has no notes; the song has {_list(music.channels)}", highlight=False)
    players, silent = {}, []
    for number in music.channels:
        timbre = named.get(number, None if number == DRUMS else instrument)
        if timbre is None:
            silent.append(number)
        else:
            players[number] = open_instrument(timbre)
    if not players:
        raise NeuralFXError(
            f"no channel has an instrument: the song has notes on {_list(music.channels)}; "
            "add --instrument TIMBRE or --channel N=TIMBRE"
        )
    _set(settings or [], players)
    for number in silent:
        if number == DRUMS:
            console.print("channel 10 is drums: skipped", highlight=False)
        else:
            program = music.programs.get(number, 0) + 1
            console.print(f"channel {number + 1} (program {program}) has no instrument: silent", highlight=False)
    began = time.perf_counter()
    with Progress(
        TextColumn("playing"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=console,
        transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("playing", total=(music.seconds + TAIL) * len(players))
        audio = perform(music, players, sample_rate, lambda seconds: bar.advance(task, seconds))
    wall = time.perf_counter() - began
    peak = float(np.abs(audio).max())
    if peak > 0.99:
        audio = audio * np.float32(0.99 / peak)
        console.print(f"turned down by {20 * np.log10(peak / 0.99):.1f} dB so that it does not clip", highlight=False)
    write_audio(target, audio, sample_rate)
    seconds = audio.shape[1] / sample_rate
    found = {
        "output": printable(target),
        "seconds": round(seconds, 3),
        "wall_seconds": round(wall, 3),
        "channels": {str(n + 1): p.sound for n, p in players.items()},
        "silent_channels": [n + 1 for n in silent],
        "remarks": list(music.remarks),
        "peak": round(peak, 4),
    }
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        speed = seconds * len(players) / max(wall, 1e-9)
        console.print(
            f"{printable(target)}: {seconds:.1f} s, {len(players)} channels, {speed:.0f} x real time each",
            highlight=False,
            markup=False,
        )


def timbres(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the bundled timbres with their register, accuracy and recordings."""
    from neural_fx.timbre.library import TIMBRES, timbre_card

    cards = [timbre_card(name) for name in TIMBRES]
    if as_json:
        print(json.dumps(cards, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("timbre", "register", "loudness L1", "f0 L1", "spectral loss", "learned from"):
        table.add_column(heading)
    for card in cards:
        own, habits = card["held_out"]["timbre"], card["habits"]
        table.add_row(
            card["name"],
            f"{habits['low_hz']:.0f}-{habits['high_hz']:.0f} Hz",
            f"{own['loudness_l1']:.3f} ({own['loudness_l1_db']:.2f} dB)",
            f"{own['f0_l1']:.3f} st",
            f"{own['spectral_loss']:.1f}",
            card["recordings"],
        )
    Console().print(table)


def instruments(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the sounds of all instrument families, including those of installed packages."""
    from instruments import FAMILIES

    families = {family.name: list(family.sounds()) for family in FAMILIES}
    if as_json:
        print(json.dumps(families, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("family")
    table.add_column("sounds")
    for name, sounds in families.items():
        table.add_row(name, ", ".join(sounds))
    Console().print(table)


def _channels(texts: list[str]) -> dict[int, str]:
    found = {}
    for text in texts:
        number, equals, timbre = text.partition("=")
        if not equals or not timbre or not number.strip().isdigit() or not 1 <= int(number) <= 16:
            raise NeuralFXError(f"--channel {text}: expected N=TIMBRE with N from 1 to 16, such as 1=violin")
        found[int(number) - 1] = timbre.strip()
    return found


def _set(settings: list[str], players: dict) -> None:  # type: ignore[type-arg]
    for setting in settings:
        name, equals, value = setting.partition("=")
        number, dot, parameter = name.partition(".")
        chosen = list(players.values())
        if dot:
            if not number.isdigit() or int(number) - 1 not in players:
                raise NeuralFXError(f"--set {setting}: no instrument on channel {number}; playing: {_list(players)}")
            chosen, name = [players[int(number) - 1]], parameter
        if not equals or not name:
            raise NeuralFXError(f"--set {setting}: expected PARAM=VALUE or N.PARAM=VALUE, such as vibrato=0.5")
        for player in chosen:
            player.set_parameter(name, value)


def _list(channels: object) -> str:
    return "channels " + ", ".join(str(number + 1) for number in channels)  # type: ignore[attr-defined]
