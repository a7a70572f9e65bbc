"""`neural-fx render` and `neural-fx demo`: render files through a pedal, a capture, a timbre or a board."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bridge.cli.signals import postponed
from neural_fx.audio import open_audio
from neural_fx.errors import NeuralFXError
from neural_fx.neural import load
from neural_fx.outputs import output_file
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import make_pedal
from neural_fx.placement import check_device, has_cuda, is_gpu, offline_device, place
from neural_fx.render import Interrupted, Output, Report, plan, render_all
from neural_fx.render.runners import AUTO, find_runner
from neural_fx.slots import apply_settings


def render(
    inputs: Annotated[list[str], typer.Argument(help="Audio files, folders, or glob patterns.")],
    out: Annotated[
        str,
        typer.Option(
            "-o", "--out", help="Output file for one input; otherwise a folder (NAME/) that gets the same file names."
        ),
    ],
    model: Annotated[str | None, typer.Option(help="Capture file of any known format.")] = None,
    pedal: Annotated[str | None, typer.Option(help="Bundled pedal. See `neural-fx pedals`.")] = None,
    timbre: Annotated[str | None, typer.Option(help="Timbre to transfer to. See `neural-fx timbres`.")] = None,
    board: Annotated[str | None, typer.Option(help="Board file (YAML).")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="SLOT.PARAM=VALUE or PARAM=VALUE. SLOT is a name, or a number from 1. Repeatable."),
    ] = None,
    mix: Annotated[float | None, typer.Option(help="Dry/wet mix, 0 (dry) to 1 (wet).")] = None,
    level: Annotated[
        str | None, typer.Option(help="Output level with --model or --pedal: raw, normalized (-18 dB) or calibrated.")
    ] = None,
    oversample: Annotated[
        int, typer.Option(help="Run at 1, 2, 4 or 8 times the model's rate against aliasing. With --model or --pedal.")
    ] = 1,
    tail: Annotated[
        float, typer.Option(min=0, max=600, help="Seconds to render after the end of the input, for echoes.")
    ] = 0.0,
    sample_rate: Annotated[
        int | None, typer.Option(min=1000, max=768000, help="Sample rate of the output in Hz.")
    ] = None,
    subtype: Annotated[
        str | None, typer.Option(help="Sample format by its libsndfile name, such as PCM_16, PCM_24 or FLOAT.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Files to render at the same time. A GPU renders one.")] = 1,
    device: Annotated[
        str,
        typer.Option(help="cpu, cpu-fast, cuda, mps, torch or auto. auto takes cuda if there is one and enough audio."),
    ] = "auto",
    runner: Annotated[
        str,
        typer.Option(
            help="here (one file after another), processes, one of an installed package, or auto. auto takes here for "
            "one job and processes for more."
        ),
    ] = AUTO,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report on standard output.")] = False,
) -> None:
    """Render audio files through a capture, a bundled pedal, a timbre, or a board."""
    find_runner(runner)  # a wrong name is reported before any work
    make = BoardOptions(
        model, pedal, board, tuple(settings or ()), mix, level, timbre, check_device(device), oversample
    )
    pairs = plan(inputs, out)
    if device == "auto" and has_cuda():
        make = replace(make, device=offline_device(make(), sum(_seconds(source, True) for source, _ in pairs), jobs))
    if is_gpu(make.device):
        jobs = 1  # one file fills a GPU
    run(pairs, make, Output(sample_rate, subtype, tail, overwrite), jobs, as_json, runner)


def demo(
    out: Annotated[str, typer.Option("-o", "--out", help="File to write, or a folder (NAME/).")] = "demo.wav",
    pedal: Annotated[str, typer.Option(help="Bundled pedal. See `neural-fx pedals`.")] = "klon-gain-stage",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Render the bundled guitar riff through a bundled pedal."""
    make = BoardOptions(pedal=pedal)
    target = output_file(out, "demo.wav")
    with as_file(files("neural_fx") / "assets" / "riff.flac") as riff:
        run(plan([riff], target), make, Output(overwrite=overwrite), 1, False)


@dataclass(frozen=True)
class BoardOptions:
    """Options that describe a board. Calling the object makes the board, in this or another process.

    Attributes:
        model: capture file.
        pedal: name of a bundled pedal.
        board: board file.
        settings: ``SLOT.PARAM=VALUE`` texts.
        mix: dry/wet mix, 0 to 1; None leaves the board's own.
        level: output level of a capture or pedal: ``raw``, ``normalized`` or ``calibrated``; None is ``raw``.
        timbre: name or file of a timbre.
        device: where to run; ``auto`` leaves it to the board.
        oversample: 1, 2, 4 or 8 times the model's sample rate.

    Raises:
        NeuralFXError: not exactly one of model, pedal, timbre and board is given, or an option does not fit it.
    """

    model: str | None = None
    pedal: str | None = None
    board: str | None = None
    settings: tuple[str, ...] = ()
    mix: float | None = None
    level: str | None = None
    timbre: str | None = None
    device: str = "auto"
    oversample: int = 1

    def __post_init__(self) -> None:
        if sum(option is not None for option in (self.model, self.pedal, self.timbre, self.board)) != 1:
            raise NeuralFXError("expected one of --model FILE, --pedal NAME, --timbre NAME or --board FILE")
        if self.level is not None and (self.board is not None or self.timbre is not None):
            raise NeuralFXError("--level goes with --model or --pedal; a board has `level:` for each of its models")
        if self.oversample != 1 and (self.board is not None or self.timbre is not None):
            raise NeuralFXError("--oversample goes with --model or --pedal; a board has `oversample:` for each of them")

    def __call__(self) -> Pedalboard:
        if self.board is not None:
            board = Pedalboard.from_file(self.board)
        elif self.timbre is not None:
            from neural_fx.timbre import TimbreTransfer

            board = Pedalboard([TimbreTransfer(self.timbre)])
        elif self.pedal is not None:
            board = Pedalboard([make_pedal(self.pedal, self.level or "raw", self.oversample)])
        else:
            board = Pedalboard([load(str(self.model), level=self.level or "raw", oversample=self.oversample)])
        apply_settings(board, self.settings)
        if self.mix is not None:
            board.mix = self.mix
        if self.device != "auto":
            place(board, self.device)
        return board


def run(
    pairs: list[tuple[Path, Path]],
    make: Callable[[], Pedalboard],
    output: Output,
    jobs: int,
    as_json: bool,
    runner: str = AUTO,
) -> None:
    """Render files with a progress bar and print a summary.

    Args:
        pairs: input and output file of each render.
        make: makes the board, also in another process.
        output: sample rate, sample format, tail, and whether to replace files.
        jobs: files to render at the same time.
        as_json: print a JSON report instead of a table.
        runner: name of the runner.

    Raises:
        typer.Exit: with status 2, if any file failed.
        Stopped: Ctrl-C or a signal ended the renders.
    """
    _one_thread_each()
    console = Console(stderr=True)
    began = time.perf_counter()
    with postponed() as ending:
        try:
            with _Bar(console, pairs) as bar:
                reports = render_all(pairs, make, output, jobs, bar.advance, bar.finished, ending.arrived, runner)
        except Interrupted:
            ending.check()
            raise
    wall = time.perf_counter() - began
    if as_json:
        document = {
            "files": [report.as_dict() for report in reports],
            "seconds": sum(r.seconds for r in reports),
            "wall_seconds": wall,
            "failed": sum(r.error is not None for r in reports),
        }
        print(json.dumps(document, indent=2))
    elif len(pairs) > 1 or not reports[0].error:
        console.print(_summary(reports, wall))
    for report in reports:
        for remark in report.remarks:
            _print_line(console, f"neural-fx: note: {remark}", "yellow")
        if report.error:
            _print_line(console, f"neural-fx: error: {report.error}", "red")
    if any(report.error for report in reports):
        raise typer.Exit(2)


def _print_line(console: Console, text: str, style: str) -> None:
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def _one_thread_each() -> None:
    """Keep numeric libraries from starting threads of their own, because jobs already use all cores."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


class _Bar:
    """Show the progress of a batch: files done, times real time and time left."""

    def __init__(self, console: Console, pairs: list[tuple[Path, Path]]) -> None:
        self.began = time.perf_counter()
        self.done = 0.0
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        # Opening every file of a long list takes a while, and is only needed for the bar on a terminal.
        seconds = [_seconds(source) for source, _ in pairs] if console.is_terminal else []
        self.stems = self.progress.add_task("stems", total=len(pairs), speed="")
        self.audio = self.progress.add_task("seconds", total=round(sum(seconds), 1), speed="")

    def __enter__(self) -> _Bar:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def advance(self, seconds: float) -> None:
        self.done += seconds
        speed = self.done / max(time.perf_counter() - self.began, 1e-9)
        self.progress.update(self.audio, completed=round(self.done, 1), speed=f"{speed:.1f} x real time")

    def finished(self, report: Report) -> None:
        self.progress.advance(self.stems)


def _seconds(source: Path, of_channels: bool = False) -> float:
    """Return the length of a file in seconds, or of all its channels together.

    Returns 0 for a file that cannot be read, because its own render reports the reason.
    """
    try:
        with open_audio(source) as reader:
            return reader.frames / reader.sample_rate * (reader.channels if of_channels else 1)
    except Exception:
        return 0.0


def _summary(reports: list[Report], wall: float) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading, justify in (
        ("output", "left"),
        ("seconds", "right"),
        ("x real time", "right"),
        ("peak dBFS", "right"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("")
    for report in reports:
        if report.error:
            table.add_row(escape(report.output), "", "", "", "[red]failed[/red]")
            continue
        peak = "-inf" if report.peak_db is None else f"{report.peak_db:.1f}"
        note = f"{report.clipped_samples} samples clipped; lower output_gain_db or use --subtype FLOAT"
        table.add_row(
            escape(report.output),
            f"{report.seconds:.2f}",
            f"{report.speed:.1f}",
            peak,
            note if report.clipped_samples else "",
        )
    if len(reports) > 1:
        total = sum(r.seconds for r in reports)
        good = sum(r.error is None for r in reports)
        table.add_row(f"{good} of {len(reports)} stems", f"{total:.2f}", f"{total / max(wall, 1e-9):.1f}", "", "")
    return table
