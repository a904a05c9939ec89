"""The running average of a model's weights, and the file made of it: the average is judged and shipped.

In: a model in training. Out: its average, and ``mini.safetensors`` (float16, batch normalisation folded in), which
loads into ``build_model("mini")`` with ``strict=True``. This file does not know how the weights came about.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vda.files import atomic_path
from vda.network import VideoDepthModel, build_model
from vda.network.convnet import ConvEncoder, ConvUnit, fold

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


@torch.no_grad()
def unfolded(weights: Mapping[str, Tensor], images: Tensor) -> dict[str, Tensor]:
    """A training state that computes what exported ``weights`` do, with batch normalisation in the encoder again.

    ``images`` ``[B, 3, h, w]`` (network input) give each normalisation its statistics; its scale and offset undo
    them. So a batch like this one passes as it did, by running statistics and by its own.
    """
    model = build_model("mini")
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    plain = model.pretrained.state_dict()
    model.pretrained = ConvEncoder(normalised=True).eval()
    # All there is but the offsets, which the normalisation gets below.
    model.pretrained.load_state_dict(plain, strict=False)
    for name, unit in model.pretrained.named_modules():
        if isinstance(unit, ConvUnit) and isinstance(unit.norm, nn.BatchNorm2d):
            unit.norm.register_forward_pre_hook(partial(_measure, offset=plain[f"{name}.conv.bias"]))
    model.pretrained(images)
    return model.state_dict()


def _measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor], offset: Tensor) -> None:
    """Let ``norm`` add ``offset`` and nothing else to a batch like ``inputs``."""
    variance, mean = torch.var_mean(inputs[0], (0, 2, 3), unbiased=False)
    norm.running_mean, norm.running_var = mean, variance
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean + offset)


def export(state: Mapping[str, Tensor], path: Path) -> None:
    """Write ``state`` folded and in float16 to ``path`` (safetensors)."""
    tensors = {name: value.half().contiguous() for name, value in folded_mini(state).state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, METADATA)
        temporary.chmod(0o644)  # safetensors makes files that only their owner may read
