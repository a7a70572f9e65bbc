"""`neural-fx train-instrument`: train a family of instruments on a folder of one-shots."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bridge.cli.learning import Minutes, Session, Threads, check_start, wants_report
from bridge.cli.progress import Standing, say
from neural_fx.errors import TrainingError
from neural_fx.inputs import printable
from neural_fx.optional import need

if TYPE_CHECKING:
    from instruments.training.contract import FamilyTrainer, FamilyTraining
    from instruments.training.one_shots import Entry, Reading

_MOST_ROWS = 400


def train_instrument(
    folder: Annotated[Path, typer.Argument(help="Folder with one-shots, one sound in each file.")],
    family: Annotated[str, typer.Option(help="Family of instruments: drums or latent.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write, INSTRUMENT.safetensors.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV or JSON with file, pitch, velocity, class and instrument. It comes before the file names.",
            show_default="labels.csv or labels.json in FOLDER",
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Say what was understood of each file, and stop.")] = False,
    middle_c: Annotated[int, typer.Option(min=3, max=5, help="Octave of MIDI note 60 in file names.")] = 4,
    minutes: Minutes = 8.0,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Begin with random weights instead of the bundled ones.")
    ] = False,
    threads: Threads = 0,
    name: Annotated[str | None, typer.Option(help="Name of the sound in the metadata.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for the held-out sounds and the training.")] = 0,
    report: Annotated[
        bool | None,
        typer.Option("--report/--no-report", help="Write INSTRUMENT.html with pictures and audio. Needs matplotlib."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from INSTRUMENT.ckpt after an interruption.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the instrument if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report on standard output.")] = False,
) -> None:
    """Train an instrument on a folder of one-shots of your own.

    File names such as snare_01.wav, C4_v100.wav, "Bass F#2 f.wav" or piano-060-080.wav give class, pitch and velocity.
    A table may give them instead. A missing pitch is measured. Each file that is left out is reported with the reason.

    A checkpoint is written every minute. Ctrl-C writes the best instrument so far. After Ctrl-C, a crash or a full
    disk, add --resume to continue from the checkpoint.
    """
    from instruments.families import trainer_of

    if out is None and not check:
        raise TrainingError("say which file to write with -o INSTRUMENT.safetensors, or look at the files with --check")
    if out is not None and out.suffix != ".safetensors":
        raise TrainingError(f"{out}: expected a file name that ends in .safetensors")
    if out is not None and not check:
        check_start(out, resume, overwrite)
    if not os.path.isdir(folder):
        raise TrainingError(f"{folder}: no such folder")
    need("torch", "training")
    trainer = trainer_of(family)
    console = Console(stderr=True)
    reading = _read(folder, labels, trainer, middle_c, console)
    result: dict[str, Any] = {"folder": printable(folder), "family": family, **reading.as_dict()}
    if not as_json:
        _show(reading, trainer, Console())
    elif check:
        print(json.dumps(result, indent=2))
    if check:
        return
    if not reading.shots:
        raise TrainingError(
            f"{folder}: none of the {len(reading.entries)} files can be used; {_first_problem(reading)}"
        )
    assert out is not None
    reported = wants_report(report, console)

    from instruments.training.contract import TrainingSettings

    settings = TrainingSettings(minutes, seed, threads or os.cpu_count() or 1, from_scratch)
    with Standing(console, "analysing") as standing:
        training = trainer.start(reading.shots, settings, standing.show)
    session = _session(training, out, name or out.stem, console, resume)
    session.resume()
    session.run()
    session.say(f"{out}: {training.result()} after {training.course}")
    words: list[str] = []
    if reported:
        session.report(lambda: _noted(training, out, words), required=bool(report))
    if as_json:
        result |= {"output": printable(out), "steps": training.course.steps, "result": training.result()}
        print(json.dumps({**result, "findings": words}, indent=2))


def _session(training: FamilyTraining, out: Path, name: str, console: Console, resume: bool) -> Session[Any]:
    return Session(
        training,
        out,
        write=lambda: training.write(out, name),
        result=training.result,
        progress_text=training.progress_text,
        console=console,
        resumed=resume,
    )


def _noted(training: FamilyTraining, out: Path, words: list[str]) -> Any:
    """Write the report, and keep its sentences."""
    findings = training.report(out)
    words.extend(findings.words)
    return findings


def _read(folder: Path, labels: Path | None, trainer: FamilyTrainer, middle_c: int, console: Console) -> Reading:
    from instruments.training.labels import Labels, find_labels, read_labels
    from instruments.training.one_shots import read_folder

    table, remarks = (labels, []) if labels is not None else find_labels(folder)
    known = read_labels(table, middle_c) if table is not None else Labels(remarks=tuple(map(printable, remarks)))
    with Standing(console, "reading") as standing:
        return read_folder(folder, trainer, known, middle_c, standing.show)


def _show(reading: Reading, trainer: FamilyTrainer, console: Console) -> None:
    """Print a table of what was understood, then a sentence for every problem and remark."""
    table = Table(box=None, pad_edge=False)
    heads = ["file", *(["class"] if trainer.classes else []), *(["note", "instrument"] if trainer.pitched else [])]
    for head in (*heads, "velocity", "seconds", ""):
        table.add_column(head, overflow="fold")
    for entry in reading.entries[:_MOST_ROWS]:
        table.add_row(*_cells(entry, trainer))
    console.print(table, markup=False, highlight=False)
    if len(reading.entries) > _MOST_ROWS:
        say(console, f"... and {len(reading.entries) - _MOST_ROWS} more; --json lists all")
    for entry in reading.entries:
        sentences = [*entry.remarks, *([f"left out: {entry.problem}"] if entry.problem else [])]
        for sentence in sentences:
            say(console, f"{printable(entry.name)}: {sentence}")
    for sentence in reading.remarks:
        say(console, sentence)
    used = len(reading.shots)
    say(console, f"{used} of {len(reading.entries)} files are used")


def _cells(entry: Entry, trainer: FamilyTrainer) -> list[Any]:
    from rich.text import Text

    def marked(text: str, field: str) -> Text:
        origin = entry.origins.get(field, "")
        return Text(f"{text} ({origin})" if text and origin in ("measured", "default") else text)

    cells = [Text(printable(entry.name))]
    if trainer.classes:
        cells.append(marked(entry.kind, "class"))
    if trainer.pitched:
        cells.append(marked("" if entry.pitch is None else f"{entry.pitch:g}", "pitch"))
        cells.append(Text(printable(entry.instrument)))
    status = "left out" if entry.problem else ""
    cells += [marked(str(entry.velocity), "velocity"), Text(f"{entry.seconds:.2f}")]
    return [*cells, Text(status)]


def _first_problem(reading: Reading) -> str:
    entry = reading.entries[0]
    return f"{printable(entry.name)}: {entry.problem}"
