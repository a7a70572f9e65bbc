"""`neural-fx info`, `pedals` and `export`: describe a capture, list the bundled pedals, and write a `.nam` file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from neural_fx.errors import ModelError, ParameterError


def info(
    file: Annotated[str, typer.Argument(help="Capture file of any known format.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Run the test batch that an AIDA-X file may contain.")
    ] = False,
) -> None:
    """Show a capture file's format, architecture, size, receptive field, sample rate, knobs, levels and gear."""
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
    if found["loudness_db"] is not None:
        lines.append(("loudness", f"{found['loudness_db']:g} dB ({found['loudness_source']})"))
    else:
        lines.append(("loudness", "not known: silent, or not finite, for guitar"))
    metadata = {name: value for name, value in found["metadata"].items() if name != "loudness"}
    lines += [(name.replace("_", " "), str(value)) for name, value in metadata.items() if value is not None]
    for name, knob in found["knobs"].items():
        lines.append(
            (f"--set {name}", f"{knob['min']:g} .. {knob['max']:g} {knob['unit']}, default {knob['default']:g}")
        )
    if "self_test_esr" in found:
        lines.append(("self-test ESR", f"{found['self_test_esr']:.2e}"))
    return [(name, str(value)) for name, value in lines]


def pedals(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the bundled pedals with their knobs, accuracy and origin."""
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
        table.add_row(card["slug"], card["title"], knobs, f"{100 * card['esr']['value']:.2f} %", card["origin"])
    Console().print(table)


def export(
    source: Annotated[str, typer.Argument(help="Capture file, or name of a bundled pedal.")],
    out: Annotated[str, typer.Option("-o", "--out", help="The .nam file to write, or a folder (NAME/).")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Knob position of the snapshot as KNOB=VALUE, 0 to 1. Repeatable.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a capture of any format as a standard .nam file.

    A pedal with knobs is written at one position of its knobs.
    """
    from neural_fx.errors import reason
    from neural_fx.files import replacing
    from neural_fx.formats import read
    from neural_fx.inputs import printable
    from neural_fx.outputs import check_output, output_file
    from neural_fx.pedals import PEDALS
    from neural_fx.snapshot import snapshot

    capture = PEDALS[source].file() if source in PEDALS else read(source)
    target = output_file(out, f"{Path(source).stem}.nam")
    check_output(target, overwrite, [] if capture.path is None else [capture.path])
    try:
        data = snapshot(capture, _positions(settings or []))
    except ModelError as error:
        raise error.inside(source) from None
    try:
        with replacing(target) as part:
            part.write_bytes(data)
    except OSError as error:
        raise ModelError(f"cannot be written: {reason(error)}", file=target) from None
    Console(stderr=True).print(f"{printable(target)}: {len(data) / 1024:.0f} kB", highlight=False, markup=False)


def _positions(settings: list[str]) -> dict[str, str]:
    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ParameterError(f"--set {setting}: expected KNOB=VALUE, such as drive=0.7")
        found[name] = value
    return found
