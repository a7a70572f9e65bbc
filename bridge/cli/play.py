"""`neural-fx play`: play a MIDI file with neural instruments."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bridge.cli.progress import say
from neural_fx.errors import NeuralFXError
from neural_fx.inputs import printable, special_problem

if TYPE_CHECKING:
    from bridge.cli.song_options import Arrangement
    from bridge.cli.stems import StemFolder
    from instruments.song import Song
    from neural_fx.arrays import Audio

_CEILING = 0.99
"""The largest sample of a mix."""


def play(
    song: Annotated[Path, typer.Argument(help="MIDI file.")],
    out: Annotated[str, typer.Option("-o", "--out", help="Audio file to write, or a folder (NAME/).")],
    instrument: Annotated[
        str | None,
        typer.Option(
            help="Instrument for all channels that --channel does not name, or general-midi: "
            "the song's programs choose. See `neural-fx instruments`."
        ),
    ] = None,
    channel: Annotated[
        list[str] | None, typer.Option(help="Instrument of one channel as N=INSTRUMENT, N from 1 to 16. Repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="PARAM=VALUE for all channels, or N.PARAM=VALUE for channel N. Repeatable."),
    ] = None,
    stems: Annotated[Path | None, typer.Option(help="Folder for a file of each channel, as it enters the mix.")] = None,
    sample_rate: Annotated[int, typer.Option(min=8000, max=192000, help="Sample rate of the output in Hz.")] = 48000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report on standard output.")] = False,
) -> None:
    """Play a MIDI file with neural instruments.

    Without --instrument and --channel, the song's General MIDI programs choose the instruments.
    A mix that would clip is turned down as a whole.
    """
    from bridge.cli.song_options import arrange
    from instruments.song import read_song
    from neural_fx.render import write_audio

    console = Console(stderr=True)
    target = _checked_target(song, out, overwrite)
    music = read_song(song)
    for remark in music.remarks:
        say(console, f"{song}: {remark}")
    arrangement = arrange(music, instrument, channel or [], settings or [])
    for remark in arrangement.remarks:
        say(console, remark)
    with ExitStack() as stack:
        folder = None
        if stems is not None:
            folder = stack.enter_context(_stem_folder(stems, arrangement, sample_rate))
            folder.check(overwrite, song, target)
        began = time.perf_counter()
        audio = _render(music, arrangement, sample_rate, folder, console)
        wall = time.perf_counter() - began
        audio, peak, gain_db = _turned_down(audio)
        if gain_db:
            say(console, f"turned down by {-gain_db:.1f} dB so that it does not clip")
        write_audio(target, audio, sample_rate)
    seconds = audio.shape[1] / sample_rate
    if not as_json:
        speed = seconds / max(wall, 1e-9)
        words = f"{seconds:.1f} s, {len(arrangement.parts)} channels, {speed:.1f} x real time"
        say(console, f"{printable(target)}: {words}")
        return
    report = {
        "output": printable(target),
        "seconds": round(seconds, 3),
        "wall_seconds": round(wall, 3),
        "channels": {str(number + 1): arrangement.sounds(number) for number in arrangement.parts},
        "silent_channels": [number + 1 for number in arrangement.silent],
        "remarks": [*music.remarks, *arrangement.remarks],
        "peak": round(peak, 4),
        "gain_db": round(gain_db, 3),
        "stems": {str(number + 1): printable(path) for number, path in folder.paths.items()} if folder else {},
    }
    print(json.dumps(report, indent=2))


def _checked_target(song: Path, out: str, overwrite: bool) -> Path:
    """Return the file to write, after checking that the song can be read and the file be written."""
    from neural_fx.outputs import check_output, output_file
    from neural_fx.render.plans import file_format

    problem = special_problem(song)
    if problem is not None:
        raise NeuralFXError(f"{song}: {problem}")
    target = output_file(out, f"{song.stem}.wav")
    file_format(target)
    check_output(target, overwrite, [song])
    return target


def _stem_folder(folder: Path, arrangement: Arrangement, sample_rate: int) -> StemFolder:
    from bridge.cli.stems import StemFolder

    names = {}
    for channel in arrangement.parts:
        letters = arrangement.sounds(channel).replace(", ", "-")
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in letters)
        names[channel] = f"channel-{channel + 1:02d}-{safe[:100]}.wav"
    return StemFolder(folder, names, sample_rate)


def _render(
    music: Song, arrangement: Arrangement, sample_rate: int, stems: StemFolder | None, console: Console
) -> Audio:
    """Render all channels, write the stems, and return the mix: (2, samples), not clipped."""
    import numpy as np

    from instruments.mixing import render_channels, song_samples

    count = song_samples(music, sample_rate)
    parts = sum(len(own) for own in arrangement.parts.values())
    mix = np.zeros((2, count), np.float32)
    with Progress(
        TextColumn("playing"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=console,
        transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("playing", total=count / sample_rate * parts)

        def report(seconds: float) -> None:
            bar.advance(task, seconds)

        rendered = render_channels(music, arrangement.parts, sample_rate, report, os.cpu_count() or 1)
        with closing(rendered):
            for channel, audio in rendered:
                mix += audio
                if stems is not None:
                    stems.write(channel, audio)
    return mix


def _turned_down(audio: Audio) -> tuple[Audio, float, float]:
    """Return a mix that does not clip, its peak before that, and the gain in dB."""
    import numpy as np

    peak = float(np.abs(audio).max())
    if peak <= _CEILING:
        return audio, peak, 0.0
    gain = _CEILING / peak
    return audio * np.float32(gain), peak, 20 * float(np.log10(gain))
