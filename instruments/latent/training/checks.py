"""Measure a network on notes that it was not trained on, on its device, without audio.

The measures are means over notes. `harmonics` is the mean difference in dB of harmonics less than 60 dB below the
loudest level in either note. `harmonics_80` and `noise` go down to 80 dB. `mel` is the root mean square difference of
the powers of ear-like bands. `missed` is the share of partials above -60 dB that the network plays below.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instruments.latent import features
from instruments.latent.frames import LEVELS, SILENT_DB, SLOTS, frame_ticks
from instruments.latent.network import CENTS
from instruments.latent.parameters import HARMONICS, HIGHEST_HZ
from instruments.latent.training.batches import PITCHED_DB
from instruments.latent.training.inputs import note_features, time_features
from instruments.latent.training.loop import Trained
from instruments.latent.training.mel import MelPower
from instruments.latent.training.model import LatentModel
from instruments.latent.training.notes import DeviceNotes
from instruments.latent.training.timbres import ONE_PITCH, encoded, one_notes

_NOTES = 64
_MOST_NOTES = 1500
_MORPH_STEPS = 20
_MORPH_PAIRS = 40
Measures = dict[str, float]


@torch.no_grad()
def measured(result: Trained, seed: int = 0) -> dict[str, Measures]:
    """Return measures by set of notes.

    The sets are held-out pitches, with the timbre of the preset or of one note; held-out instruments, with the timbre
    of one note; training notes; and morphs. A name such as ``A/000`` of an instrument begins with its collection, and
    each collection is measured by itself.

    Args:
        result: of the training.
        seed: of the choice of training notes and of morphs.
    """
    notes = result.notes
    data = notes.data
    model = result.model.eval()
    ones = one_notes(notes)
    owners = list(ones)
    single = torch.zeros_like(result.timbres)
    single[owners] = encoded(model, notes, np.array([ones[owner] for owner in owners]))[0]
    collections = np.array([name.rpartition("/")[0] for name in data.names])
    usable = np.isin(data.instruments, owners)
    rng = np.random.default_rng(seed)
    mel = MelPower(notes.device)
    found: dict[str, Measures] = {}
    for collection in sorted(set(collections)):
        here = usable & (collections[data.instruments] == collection)
        unseen = data.instruments_held_out[data.instruments]
        sets = {
            "held-out pitches": (here & data.held_out & ~unseen, result.timbres),
            "held-out pitches, one note": (here & data.held_out & ~unseen, single),
            "held-out instruments, one note": (here & unseen & (data.table[:, 0] != ONE_PITCH), single),
            "training": (here & ~data.held_out, result.timbres),
        }
        for name, (chosen, timbres) in sets.items():
            index = rng.permutation(np.flatnonzero(chosen))[:_MOST_NOTES]
            if len(index):
                title = f"{collection}: {name}" if collection else name
                found[title] = _means(_note_measures(model, notes, index, timbres, mel))
    if len(notes.seen) > 2:
        found["morphs"] = _morphs(model, result.timbres[notes.seen], rng)
    return found


def _means(rows: NDArray[np.float64]) -> Measures:
    """Return the means of the rows that `_note_measures` makes."""
    harmonics, harmonics_80, noise, mel, cents, partials, missed = rows.T
    pitched = np.isfinite(cents)
    return {
        "harmonics": round(float(harmonics.mean()), 3),
        "harmonics_80": round(float(harmonics_80.mean()), 3),
        "noise": round(float(noise.mean()), 3),
        "mel": round(float(mel.mean()), 3),
        "within_10_cents": round(float((cents[pitched] <= 10).mean()), 3) if pitched.any() else 1.0,
        "missed": round(float(missed.sum() / max(partials.sum(), 1)), 3),
        "notes": len(rows),
    }


def _note_measures(
    model: LatentModel, notes: DeviceNotes, index: NDArray[np.int64], timbres: Tensor, mel: MelPower
) -> NDArray[np.float64]:
    """Return measures of each note, (notes, 7)."""
    parts = [_chunk(model, notes, index[i : i + _NOTES], timbres, mel) for i in range(0, len(index), _NOTES)]
    return torch.cat(parts).double().cpu().numpy()


def _chunk(model: LatentModel, notes: DeviceNotes, index: NDArray[np.int64], timbres: Tensor, mel: MelPower) -> Tensor:
    chosen = torch.as_tensor(index, device=notes.device)
    counts = notes.counts[chosen]
    place = torch.arange(int(counts.max()), device=notes.device)
    real = place < counts[:, None]
    frame = notes.offsets[chosen, None] + torch.minimum(place, counts[:, None] - 1)
    ticks = notes.ticks[frame]
    weight = notes.weights[frame] * real
    floor = notes.floors[chosen][:, None, None]
    wanted = floor + notes.step_db * notes.levels[frame].float()
    times = time_features(ticks, notes.releases[chosen, None].expand_as(ticks))
    frames, _ = model.decode(timbres[notes.instruments[chosen]], notes.seen_features(chosen), times)
    found = frames[..., :LEVELS] * features.LEVEL_DB + features.MIDDLE_DB
    # A single silent frame does not end a note: its successor has to agree.
    over = (frames[..., LEVELS + 1] <= 0) & (ticks > 0)
    both = over & torch.cat((over[:, 1:], over[:, -1:]), dim=1)
    ended = both.cumsum(dim=1) > 0
    found = torch.where(ended[..., None], torch.full_like(found, SILENT_DB), found)
    peak = floor + features.RANGE_DB
    hz = 440 * torch.exp2((notes.pitches[chosen] - 69) / 12)
    below = hz[:, None] * torch.arange(1, HARMONICS + 1, device=notes.device) < HIGHEST_HZ
    harmonic = weight[..., None] * below[:, None]
    bands = weight[..., None].expand(-1, -1, LEVELS - HARMONICS - SLOTS)
    slots = slice(HARMONICS, HARMONICS + SLOTS)
    loud = (wanted[..., slots] > peak - 60) * weight[..., None]
    quiet = found[..., slots] <= peak - 60
    sides = wanted[..., slice(HARMONICS)], found[..., slice(HARMONICS)]
    noises = wanted[..., HARMONICS + SLOTS :], found[..., HARMONICS + SLOTS :]
    powers = [mel((torch.maximum(x, floor) - peak).clamp(max=40), notes.pitches[chosen]) for x in (wanted, found)]
    one, other = (10 * torch.log10(x + 1e-8) for x in powers)
    distance = ((one - other) ** 2).mean(dim=-1).sqrt()
    pitched = sides[0].amax(dim=(1, 2)) >= noises[0].amax(dim=(1, 2)) + PITCHED_DB
    cents = _median(frames[..., LEVELS] * CENTS, real & ~ended) - _median(notes.cents[frame], real)
    return torch.stack(
        (
            _mean_error(sides, peak - 60, harmonic),
            _mean_error(sides, peak - 80, harmonic),
            _mean_error(noises, peak - 80, bands),
            (distance * weight).sum(dim=1) / weight.sum(dim=1),
            torch.where(pitched, cents.abs(), torch.nan),
            loud.sum(dim=(1, 2)),
            (loud * quiet).sum(dim=(1, 2)),
        ),
        dim=1,
    )


def _mean_error(sides: tuple[Tensor, Tensor], floor: Tensor, weight: Tensor) -> Tensor:
    """Return the mean difference of each note where either is above the floor, (notes,)."""
    one, other = sides
    heard = ((one > floor) | (other > floor)) * weight
    difference = (torch.maximum(one, floor) - torch.maximum(other, floor)).abs()
    return (difference * heard).sum(dim=(1, 2)) / heard.sum(dim=(1, 2)).clamp(min=1e-9)


def _median(values: Tensor, used: Tensor) -> Tensor:
    """Return the median of the used values of each row, 0 for none."""
    return torch.nanmedian(torch.where(used, values, torch.nan), dim=1).values.nan_to_num(0.0)


def _morphs(model: LatentModel, timbres: Tensor, rng: np.random.Generator) -> Measures:
    """Return the largest of 20 steps of morphs at C4, as a share of the whole way."""
    device = timbres.device
    ticks = torch.as_tensor(frame_ticks(400, 600), device=device).float()
    times = time_features(ticks, torch.full_like(ticks, 400.0))[None].expand(_MORPH_STEPS + 1, -1, -1)
    seen = note_features(torch.full((_MORPH_STEPS + 1,), 60.0), torch.full((_MORPH_STEPS + 1,), 100.0)).to(device)
    shares = torch.linspace(0, 1, _MORPH_STEPS + 1, device=device)[:, None]
    steps = []
    for _ in range(_MORPH_PAIRS):
        first, last = timbres[torch.as_tensor(rng.choice(len(timbres), 2, replace=False), device=device)]
        frames, _ = model.decode(torch.lerp(first[None], last[None], shares), seen, times)
        levels = frames[..., :LEVELS] * features.LEVEL_DB
        levels = torch.maximum(levels, levels[[0, -1]].max() - 80)
        way = (levels[-1] - levels[0]).abs().mean()
        steps.append(float((levels[1:] - levels[:-1]).abs().mean(dim=(1, 2)).max() / way))
    return {
        "largest_step_median": round(float(np.median(steps)), 3),
        "largest_step_worst": round(max(steps), 3),
        "within_12_percent": round(float(np.mean(np.array(steps) <= 0.12)), 3),
    }
