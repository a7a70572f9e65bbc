"""The network of `instruments.latent.network` in torch, for training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from instruments.latent.network import LatentNetwork, Sizes, layer_sizes


class LatentModel(nn.Module):
    """Encoder and decoder with the same layers and names as `LatentNetwork`.

    Args:
        sizes: of the layers.
        dropout: share of the decoder's units that are left out at random in training.
    """

    def __init__(self, sizes: Sizes, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.sizes = sizes
        self.layers = nn.ModuleDict(
            {name.replace(".", "_"): nn.Linear(*size) for name, size in layer_sizes(sizes).items()}
        )
        with torch.no_grad():
            self.layers["frame_gate"].get_parameter("weight").mul_(0.1)

    @classmethod
    def of(cls, network: LatentNetwork) -> LatentModel:
        """Return the model with the weights of a network."""
        model = cls(network.sizes)
        weights = {
            f"layers.{k.rpartition('.')[0].replace('.', '_')}.{k.rpartition('.')[2]}": torch.from_numpy(v)
            for k, v in network.weights.items()
        }
        model.load_state_dict(weights)
        return model

    def layer(self, name: str, values: Tensor) -> Tensor:
        """Return the output of a layer, by its name in `layer_sizes`."""
        found: Tensor = self.layers[name.replace(".", "_")](values)
        return found

    def encode(self, summaries: Tensor, notes: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log variances of the timbres of notes, (..., timbre) each.

        Args:
            summaries: (..., SUMMARIES, LEVELS).
            notes: (..., NOTE_FEATURES).
        """
        parts = F.silu(self.layer("encoder.summary", summaries)).flatten(-2)
        hidden = F.silu(self.layer("encoder.hidden", torch.cat((parts, notes), dim=-1)))
        mean, log_variance = self.layer("encoder.timbre", hidden).chunk(2, dim=-1)
        return mean, log_variance

    def decode(self, timbres: Tensor, notes: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frames, (notes, frames, FRAME_OUTPUTS), and the notes' own outputs, (notes, NOTE_OUTPUTS).

        Args:
            timbres: (notes, timbre).
            notes: (notes, NOTE_FEATURES).
            times: (notes, frames, TIME_FEATURES).
        """
        seen, outputs = self.note_states(timbres, notes)
        return self.frames(seen[:, None], times), outputs

    def note_states(self, timbres: Tensor, notes: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the frames of each note see of it, (notes, frame units), and the notes' own outputs.

        Args:
            timbres: (notes, timbre).
            notes: (notes, NOTE_FEATURES).
        """
        hidden = F.silu(self.layer("note.first", torch.cat((timbres, notes), dim=-1)))
        hidden = F.silu(self.layer("note.second", hidden))
        outputs = self.layer("note.outputs", hidden)
        return self.layer("frame.note", F.dropout(hidden, self.dropout, self.training)), outputs

    def frames(self, seen: Tensor, times: Tensor) -> Tensor:
        """Return frames, (..., FRAME_OUTPUTS).

        Args:
            seen: of each frame's note, as `note_states` returns it, (..., frame units).
            times: (..., TIME_FEATURES).
        """
        frame = F.silu(seen + self.layer("frame.time", times))
        frame = frame * (1 + self.layer("frame.gate", times))
        frame = frame + F.silu(self.layer("frame.hidden", frame))
        return self.layer("frame.outputs", F.dropout(frame, self.dropout, self.training))

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights as `LatentNetwork` takes them."""
        names = {name.replace(".", "_"): name for name in layer_sizes(self.sizes)}
        return {
            f"{names[layer]}.{kind}": tensor.detach().cpu().numpy().astype(np.float32)
            for layer, module in self.layers.items()
            for kind, tensor in module.named_parameters()
        }
