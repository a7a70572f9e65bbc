"""`neural-fx latent`: make presets of the latent instrument from recorded notes or at random, and list their map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bridge.cli.progress import say

app = typer.Typer(help="Presets of the latent instrument: from a recorded note, at random, and on a map.")

Out = Annotated[Path, typer.Option("-o", "--out", help="Preset file to write, such as my.preset.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@app.command("from-audio")
def from_audio(
    note: Annotated[Path, typer.Argument(help="Audio file with one note.")],
    out: Out,
    pitch: Annotated[float | None, typer.Option(help="MIDI note, such as 60. It is found if it is not given.")] = None,
    velocity: Annotated[int, typer.Option(min=1, max=127, help="How hard the note was played.")] = 90,
    name: Annotated[str | None, typer.Option(help="Name of the preset. Default: the name of the file.")] = None,
    steps: Annotated[int, typer.Option(min=0, max=1000, help="Steps of the descent; 0 only encodes the note.")] = 20,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a preset from one recorded note.

    The preset plays with `neural-fx play --instrument my.preset`, and in boards and workers.
    """
    from instruments import Latent
    from neural_fx.inputs import printable
    from neural_fx.outputs import check_output

    check_output(out, overwrite, [note])
    made = Latent.from_audio(note, pitch=pitch, velocity=velocity, name=name, steps=steps)
    made.save_preset(out)
    origin = made.origin
    if as_json:
        print(json.dumps({"output": printable(out), "name": made.preset, **origin}, indent=2))
    else:
        say(Console(stderr=True), f"{printable(out)}: {made.preset}, from a note of pitch {origin['pitch']:.2f}")


@app.command("random")
def random(
    seed: Annotated[int, typer.Argument(min=1, max=9999, help="The same seed gives the same timbre.")],
    out: Out,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a random timbre as a preset."""
    from instruments import Latent
    from neural_fx.inputs import printable
    from neural_fx.outputs import check_output

    check_output(out, overwrite, [])
    made = Latent.random(seed)
    made.save_preset(out)
    if as_json:
        print(json.dumps({"output": printable(out), "name": made.sound, "seed": seed}, indent=2))
    else:
        say(Console(stderr=True), f"{printable(out)}: {made.sound}")


@app.command("map")
def map_command(as_json: Json = False) -> None:
    """List the positions of all presets on the map, as the parameters x and y take them."""
    from instruments import Latent

    positions = Latent.map()
    if as_json:
        table = [{"preset": name, "x": round(x, 4), "y": round(y, 4)} for name, (x, y) in positions.items()]
        print(json.dumps(table, indent=2))
        return
    shown = Table(box=None, pad_edge=False)
    for heading in ("preset", "x", "y"):
        shown.add_column(heading)
    for name, (x, y) in positions.items():
        shown.add_row(name, f"{x:.2f}", f"{y:.2f}")
    Console().print(shown)
