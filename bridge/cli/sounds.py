"""`neural-fx instruments` and `timbres`: list the sounds of neural instruments."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def timbres(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the bundled timbres with their register, accuracy and recordings."""
    from neural_fx.timbre.library import TIMBRES, timbre_card

    cards = [timbre_card(name) for name in TIMBRES]
    if as_json:
        print(json.dumps(cards, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("timbre", "register", "loudness L1", "f0 L1", "spectral loss", "learned from"):
        table.add_column(heading)
    for card in cards:
        own, habits = card["held_out"]["timbre"], card["habits"]
        table.add_row(
            card["name"],
            f"{habits['low_hz']:.0f}-{habits['high_hz']:.0f} Hz",
            f"{own['loudness_l1']:.3f} ({own['loudness_l1_db']:.2f} dB)",
            f"{own['f0_l1']:.3f} st",
            f"{own['spectral_loss']:.1f}",
            card["recordings"],
        )
    Console().print(table)


def instruments(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the sounds of all instrument families, including those of installed packages."""
    from instruments import FAMILIES

    families = {family.name: list(family.sounds()) for family in FAMILIES}
    if as_json:
        print(json.dumps(families, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("family")
    table.add_column("sounds")
    for name, sounds in families.items():
        table.add_row(name, ", ".join(sounds))
    Console().print(table)
