"""Settings of the network of `instruments.latent` that are trained side by side, to choose the best by its measures."""

from __future__ import annotations

from dataclasses import replace

from instruments.latent.network import Sizes
from instruments.latent.training import Settings
from instruments.latent.training.variations import Variation

_GPU = Settings(
    sizes=Sizes(note=256, frame=512, summary=64, encoder=384),
    notes=512,
    frames=32,
    averaging=0.9995,
    weight_decay=1e-2,
    divergence=1e-4,
)
_LARGE = Sizes(note=320, frame=640, summary=64, encoder=512)

VARIANTS: dict[str, Settings] = {
    "shifted": _GPU,
    "mixed": replace(_GPU, variation=Variation(equalised=0.3, mixed=0.6), divergence=2e-4),
    "finished": replace(
        _GPU, notes=64, frames=24, first_rate=4e-4, last_rate=1e-5, morph=0.1, free_from=0.02, averaging=0.998
    ),
    "large": replace(_GPU, sizes=_LARGE, variation=Variation(equalised=0.2, mixed=0.4), dropout=0.05),
}
"""By name. All move notes in pitch as a sampler does.

"mixed" and "large" also mix instruments, and send some through an equaliser, for instruments that were never heard.
"finished" goes on from "shifted" on a CPU, with straighter morphs.
"""
