"""Render files with a progress bar, and print a summary or a JSON report."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bridge.cli.signals import postponed
from neural_fx.audio import open_audio
from neural_fx.pedalboard import Pedalboard
from neural_fx.render import Interrupted, Output, Report, render_all
from neural_fx.render.runners import AUTO


def run_batch(
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
        seconds = [audio_seconds(source) for source, _ in pairs] if console.is_terminal else []
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


def audio_seconds(source: Path, of_channels: bool = False) -> float:
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
