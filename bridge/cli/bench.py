"""`neural-fx bench`: measure how fast captures run on this machine."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from neural_fx.errors import NeuralFXError


def bench(
    models: Annotated[list[str] | None, typer.Argument(help="Capture files.", show_default="a bundled pedal")] = None,
    blocks: Annotated[
        str, typer.Option(help="Block sizes in samples, separated by commas. 0 processes everything in one call.")
    ] = "64,256,1024,0",
    seconds: Annotated[
        float, typer.Option(min=0.01, max=600, help="Seconds of audio per model, block size and round.")
    ] = 2.0,
    rounds: Annotated[
        int, typer.Option(min=1, max=1000, help="Number of rounds. Each round measures everything once.")
    ] = 5,
    vs: Annotated[
        list[str] | None,
        typer.Option(
            "--vs", help="Engine to compare with: fast, avx512, avx2, sse2, torch or neural-amp-modeler. Repeatable."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per measurement.")] = False,
) -> None:
    """Measure how fast captures run on this machine.

    Reports times real time, block times and the share of this core's peak. Engines run in turns, so that a change of
    the machine's load affects all of them.
    """
    from neural_fx.bench import bench as measure
    from neural_fx.bench import markdown
    from neural_fx.pedals import DATA

    try:
        sizes = [int(size) for size in blocks.split(",")]
    except ValueError:
        sizes = []
    if not sizes or not all(0 <= size <= 1 << 20 for size in sizes):
        raise NeuralFXError(f"--blocks {blocks}: expected sizes up to {1 << 20}, such as 64,256, or 0 for one call")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("measuring", total=1.0)
        found = measure(
            models or [DATA / "klon-gain-stage.nam"],
            sizes,
            seconds,
            rounds,
            vs or (),
            lambda fraction: bar.update(task, completed=fraction),
        )
    if as_json:
        for measurement in found:
            print(json.dumps(measurement.as_dict()))
    else:
        print(markdown(found))
