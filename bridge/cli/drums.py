"""`neural-fx drums`: write a drum kit as WAV files for other samplers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bridge.cli.progress import Standing, say
from neural_fx.errors import NeuralFXError


def drums(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write. It is made if it does not exist.")],
    kit: Annotated[str, typer.Option(help="Drum kit. See `neural-fx instruments`.")] = "studio-kit",
    seed: Annotated[int, typer.Option(min=0, help="0 is the kit itself, other numbers are random kits.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="KNOB=VALUE for all drums, or DRUM.KNOB=VALUE for one class. Repeatable."),
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option("--like", help="Audio file with one hit. The drum of its class becomes like it. Repeatable."),
    ] = None,
    drum: Annotated[
        str | None, typer.Option("--class", help="Class of the --like hits, such as snare. Guessed if left out.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier kit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report on standard output.")] = False,
) -> None:
    """Write a drum kit as WAV files, with an SFZ file and a Hydrogen drumkit.xml.

    Each drum has three strokes, from soft to hard. Knobs go from 0 to 1, and 0.5 leaves a drum as it is.
    """
    from instruments import Drums
    from instruments.drums.export import kit_files, write_kit
    from instruments.drums.knobs import KNOBS
    from neural_fx.inputs import printable
    from neural_fx.outputs import check_output

    if drum and not like:
        raise NeuralFXError("--class is the class of a recorded hit; add --like FILE")
    instrument = Drums.like(*like or (), drum=drum and drum.replace("-", "_"), kit=kit, seed=seed)
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise NeuralFXError(
                f"--set {setting}: expected KNOB=VALUE or DRUM.KNOB=VALUE, such as snare.brightness=0.7"
            )
        instrument.set_parameter(name.replace(".", "_").replace("-", "_"), value)
    names = kit_files()
    for name in names:
        check_output(out / name, overwrite, [])
    console = Console(stderr=True)
    with Standing(console, "drums") as progress:
        progress.show(0.0, "rendering")
        instrument.finish()
        written = 0

        def advance() -> None:
            nonlocal written
            written += 1
            progress.show(written / len(names), f"{written} files")

        write_kit(instrument, out, advance)
    found = {
        name: {
            "distance_db": round(likeness.distance_db, 2),
            "probability": round(likeness.odds.get(name, 1.0), 3),
            "knobs": {knob: round(float(value), 3) for knob, value in zip(KNOBS, likeness.knobs)},
        }
        for name, likeness in instrument.found.items()
    }
    if as_json:
        report = {"output": printable(out), "kit": kit, "seed": seed, "files": names, "like": found}
        print(json.dumps(report, indent=2))
    else:
        for name, likeness in instrument.found.items():
            sure = (
                f" (guessed, {100 * likeness.odds[name]:.0f} % sure; --class chooses another)" if likeness.odds else ""
            )
            say(console, f"{name.replace('_', ' ')}{sure}: {likeness.distance_db:.1f} dB from the recorded hit")
        say(console, f"{printable(out)}: {len(names)} files")
