"""The running average of a model's weights, and the file made of it: the average is judged and shipped.

In: a model in training. Out: its average, and ``mini.safetensors`` (float16, batch normalisation folded in), which
loads into ``build_model("mini")`` with ``strict=True``. This file does not know how the weights came about.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vda.files import atomic_path
from vda.network import VideoDepthModel, build_model
from vda.network.convnet import ConvEncoder, fold

METADATA = {
    "licence": "Apache-2.0",
    "about": "vda's built-in model, trained on its own synthetic worlds only; inverse depth up to scale and shift",
}


class Average:
    """Exponential moving average of parameters and buffers; short at first, when every step is a large one."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards ``model`` as it is after ``step`` (from 0)."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, weight)
            else:
                self.state[name].copy_(value)


def folded_mini(state: Mapping[str, Tensor]) -> VideoDepthModel:
    """The model that runs, from a training state: eval mode, float32, no batch normalisation."""
    trained = build_model("mini")
    trained.pretrained = ConvEncoder(normalised=True)
    trained.load_state_dict(dict(state))
    trained.pretrained = fold(trained.pretrained.eval())
    return trained.eval()


def export(state: Mapping[str, Tensor], path: Path) -> None:
    """Write ``state`` folded and in float16 to ``path`` (safetensors)."""
    tensors = {name: value.half().contiguous() for name, value in folded_mini(state).state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, METADATA)
        temporary.chmod(0o644)  # safetensors makes files that only their owner may read
