"""`neural-fx info` and `neural-fx pedals`: what a capture is, and which come with the package."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from neural_fx.errors import ModelError


def info(
    file: Annotated[str, typer.Argument(help="A capture file of any known format.")],
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Run the test batch that an AIDA-X file may carry.")
    ] = False,
) -> None:
    """Show what a capture file is: format, architecture, size, receptive field, rate, knobs, levels, gear."""
    from neural_fx.formats import read
    from neural_fx.info import describe
    from neural_fx.neural import NeuralProcessor

    capture = read(file)
    found = describe(capture)
    if self_test:
        esr = NeuralProcessor(capture).self_test()
        if esr is None:
            raise ModelError("carries no self-test (input_batch, output_batch)", file=file)
        found["self_test_esr"] = esr
    if as_json:
        print(json.dumps(found, indent=2))
        return
    console = Console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _lines(found):
        table.add_row(f"[bold]{name}[/bold]", value)
    console.print(table)


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    samples, milliseconds = found["receptive_field_samples"], found["receptive_field_ms"]
    more = ", and a recurrent memory" if found["remembers"] else ""
    lines = [
        ("file", found["file"]),
        ("format", " ".join(filter(None, (found["format"], found["version"])))),
        ("architecture", found["architecture"] + (f", {found['sizes']} sizes" if found["sizes"] > 1 else "")),
        ("parameters", f"{found['parameter_count']:,}"),
        ("receptive field", f"{samples} samples, {milliseconds:.1f} ms{more}"),
        ("sample rate", f"{found['sample_rate']:g} Hz"),
        ("output levels", ", ".join(found["levels"])),
    ]
    lines += [(name.replace("_", " "), str(value)) for name, value in found["metadata"].items() if value is not None]
    for name, knob in found["knobs"].items():
        lines.append(
            (f"--set {name}", f"{knob['min']:g} .. {knob['max']:g} {knob['unit']}, default {knob['default']:g}")
        )
    if "self_test_esr" in found:
        lines.append(("self-test ESR", f"{found['self_test_esr']:.2e}"))
    return [(name, str(value)) for name, value in lines]


def pedals(as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False) -> None:
    """List the pedals that come with the package: knobs, accuracy, origin."""
    from neural_fx.pedals import PEDALS

    cards = [pedal.card() for pedal in PEDALS.values()]
    if as_json:
        print(json.dumps(cards, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("pedal", "what it is", "knobs", "ESR", "origin"):
        table.add_column(heading)
    for card in cards:
        knobs = ", ".join(card["knobs"]) or "none (one setting)"
        table.add_row(card["slug"], card["title"], knobs, f"{100 * card['esr']['validation']:.2f} %", card["origin"])
    Console().print(table)
