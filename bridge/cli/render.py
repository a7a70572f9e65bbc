"""`neural-fx render` and `neural-fx demo`: files through a pedal, a capture or a board."""

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
from neural_fx.plans import plan
from neural_fx.render import Interrupted, Output, Report, render_all
from neural_fx.slots import apply_settings


def render(
    inputs: Annotated[list[str], typer.Argument(help="Audio files, folders, or glob patterns.")],
    out: Annotated[
        str, typer.Option("-o", "--out", help="A file for one input, else a folder (NAME/) that mirrors the names.")
    ],
    model: Annotated[str | None, typer.Option(help="A capture file of any known format.")] = None,
    pedal: Annotated[str | None, typer.Option(help="A bundled pedal; see `neural-fx pedals`.")] = None,
    timbre: Annotated[str | None, typer.Option(help="A timbre to transfer to; see `neural-fx timbres`.")] = None,
    board: Annotated[str | None, typer.Option(help="A board file (YAML).")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="SLOT.PARAM=VALUE; SLOT by name or number from 1, or left out.")
    ] = None,
    mix: Annotated[float | None, typer.Option(help="0 (dry) to 1 (wet).")] = None,
    level: Annotated[
        str | None, typer.Option(help="raw, normalized (-18 dB) or calibrated; for --model/--pedal.")
    ] = None,
    oversample: Annotated[
        int, typer.Option(help="1, 2, 4 or 8 times the model's rate, against aliasing; for --model/--pedal.")
    ] = 1,
    tail: Annotated[float, typer.Option(min=0, max=600, help="Seconds to go on after the end, for echoes.")] = 0.0,
    sample_rate: Annotated[int | None, typer.Option(min=1000, max=768000, help="Of the output, in Hz.")] = None,
    subtype: Annotated[str | None, typer.Option(help="PCM_16, PCM_24, FLOAT, ... as libsndfile names them.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Files at a time (on a GPU, one).")] = 1,
    device: Annotated[
        str,
        typer.Option(help="cpu, cpu-fast, cuda, mps, torch, or auto: cuda if there is one and enough audio."),
    ] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A report for scripts on standard output.")] = False,
) -> None:
    """Render audio files through a capture, a bundled pedal, a timbre, or a board."""
    make = BoardOptions(
        model, pedal, board, tuple(settings or ()), mix, level, timbre, check_device(device), oversample
    )
    pairs = plan(inputs, out)
    if device == "auto" and has_cuda():
        make = replace(make, device=offline_device(make(), sum(_seconds(source, True) for source, _ in pairs), jobs))
    if is_gpu(make.device):
        jobs = 1  # one file fills a GPU
    run(pairs, make, Output(sample_rate, subtype, tail, overwrite), jobs, as_json)


def demo(
    out: Annotated[str, typer.Option("-o", "--out", help="The file to write, or a folder (NAME/).")] = "demo.wav",
    pedal: Annotated[str, typer.Option(help="A bundled pedal; see `neural-fx pedals`.")] = "klon-gain-stage",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Render the riff that ships with the package through a bundled pedal."""
    make = BoardOptions(pedal=pedal)
    target = output_file(out, "demo.wav")
    with as_file(files("neural_fx") / "assets" / "riff.flac") as riff:
        run(plan([riff], target), make, Output(overwrite=overwrite), 1, False)


@dataclass(frozen=True)
class BoardOptions:
    """What the options say of the board; calling it makes the board (also in another process).

    Raises:
        NeuralFXError: not exactly one of model, pedal and board, or one of them cannot be used.
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
            raise NeuralFXError("say one of --model FILE, --pedal NAME, --timbre NAME or --board FILE")
        if self.level is not None and (self.board is not None or self.timbre is not None):
            raise NeuralFXError("--level goes with --model or --pedal; a board says the level of each model itself")
        if self.oversample != 1 and (self.board is not None or self.timbre is not None):
            raise NeuralFXError("--oversample goes with --model or --pedal; a board has `oversample:` for each of them")

    def __call__(self) -> Pedalboard:
        if self.board is not None:
            import instruments  # noqa: F401 - teaches board files the slots of instruments

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
    pairs: list[tuple[Path, Path]], make: Callable[[], Pedalboard], output: Output, jobs: int, as_json: bool
) -> None:
    """Render with a progress bar and a summary; exit status 2 if any file failed."""
    _one_thread_each()
    console = Console(stderr=True)
    began = time.perf_counter()
    with postponed() as ending:
        try:
            with _Bar(console, pairs) as bar:
                reports = render_all(pairs, make, output, jobs, bar.advance, bar.finished, ending.arrived)
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
    """Keep numeric libraries from starting threads of their own: jobs are the unit of parallelism."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


class _Bar:
    """The progress of a batch: stems done, times real time, time left."""

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
        # Opening every file of a long list takes a while, and without a terminal nobody sees the bar.
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
    """Return the length of a file, or of its channels together; 0 if it cannot be read: its own render says why."""
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
