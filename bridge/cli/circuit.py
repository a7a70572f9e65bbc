"""`neural-fx circuit`: make training data from clean guitar and a simulated pedal at many knob positions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bridge.cli.progress import Standing, say
from bridge.cli.signals import Stopped, postponed


def circuit(
    name: Annotated[str, typer.Argument(help="Circuit: tube-screamer, ds-1 or big-muff.")],
    recordings: Annotated[list[Path], typer.Argument(help="Clean guitar recordings to play into the circuit.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder of the data set. Segments that it already holds are kept.")
    ],
    minutes: Annotated[float, typer.Option(min=0.05, max=10000, help="Minutes of audio to make.")] = 30.0,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Simulations to run at the same time.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for the excerpts, levels and knob positions.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report on standard output.")] = False,
) -> None:
    """Make a dry/wet data set from a reference circuit, simulated with ngspice.

    The knobs move to a random position every four seconds. One second of audio takes about three seconds on one core.
    After Ctrl-C, repeat the command to continue.
    """
    from neural_fx.errors import TrainingError, reason
    from neural_fx.inputs import printable
    from neural_fx.training.circuits import CIRCUITS
    from neural_fx.training.circuits.dataset import SECONDS, Material, generate

    if name not in CIRCUITS:
        raise TrainingError(f"unknown circuit {name!r}; known: {', '.join(CIRCUITS)}")
    count = max(1, round(60 * minutes / SECONDS))
    console = Console(stderr=True)
    made = 0
    try:
        with postponed() as ending, Standing(console, "simulating") as standing:
            for made in generate(CIRCUITS[name], out, Material(recordings), count, seed, jobs):
                standing.show(made / count, f"{made} of {count} segments")
                if made < count:
                    ending.check()
    except Stopped:
        made = len(list(out.glob("[0-9]*.npz")))
        say(console, f"stopped; {out} keeps {made} of {count} segments; repeat the command to continue")
        raise
    except OSError as error:
        raise TrainingError(
            f"{error.filename or out}: cannot be written: {reason(error)}; "
            f"{out} keeps {made} of {count} segments; repeat the command to continue"
        ) from None
    knobs = [knob.name for knob in CIRCUITS[name].knobs]
    if as_json:
        print(json.dumps({"circuit": name, "folder": printable(out), "segments": count, "knobs": knobs}))
    else:
        console.print(f"{out}: {count} segments of {SECONDS:g} s, knobs {', '.join(knobs)}", highlight=False)
