"""The training loop: a recipe and a folder of clips in; checkpoints, a log and the trained weights out.

A run is a function of its recipe and the clips: each step's batch depends on the step's number alone, and the
newest checkpoint holds everything else, so a run that was killed goes on as if it had not been. This file does not
know how clips are rendered or how the result is judged.
"""

import csv
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vda.errors import InputError
from vda.files import atomic_path
from vda.network import VideoDepthModel, build_model
from vda.network.convnet import ConvEncoder
from vda.training.average import Average
from vda.training.batches import batch_at
from vda.training.cache import HELD_OUT_SEED, Clip
from vda.training.losses import total_loss
from vda.training.recipe import Phase, Recipe
from vda.training.turnover import Claim

LOG = logging.getLogger(__name__)
LIST_EVERY = 100
CHECKPOINT = "checkpoint.pt"
# The checkpoint that a cool-down began with.
BRANCHED = "branched.pt"
LOG_NAME = "log.csv"


class Skipped(nn.Module):
    """Stands in for a temporal module while stills are learned: there is nothing to mix."""

    def forward(self, maps: Tensor, positions: int) -> Tensor:
        return maps


class Run:
    """One training run in ``folder``, continued from its checkpoint if there is one.

    The first ``LIST_EVERY`` steps see the clips of seeds below ``first_clips`` alone, however many are rendered by
    then: so they are the same whenever the run is made again. After them only the ``keep`` newest stay, if it is
    not 0; the log has the first and the last seed that each step could draw from.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        clips_folder: Path,
        device: str = "cpu",
        first_clips: int = HELD_OUT_SEED,
        keep: int = 0,
    ) -> None:
        self.recipe, self.folder, self.clips_folder = recipe, folder, clips_folder
        self.first_clips, self.keep = first_clips, keep
        self._claim = Claim(clips_folder)
        self.device = torch.device(device)
        torch.manual_seed(recipe.seed)
        self.model = trainable_mini().to(self.device)
        # Twice the speed of the other layout in bfloat16.
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(_groups(self.model, recipe.weight_decay), lr=recipe.rate, fused=True)
        self.average = Average(self.model, recipe.average)
        self.step = 0
        if (folder / CHECKPOINT).exists():
            self._resume()
        self.clips = self._list_clips()

    def start_from(self, state: dict[str, Tensor]) -> None:
        """Begin with another run's weights; nothing happens to a run that has begun."""
        if self.step == 0:
            self.model.load_state_dict(state)
            self.average = Average(self.model, self.recipe.average)

    def some_stills(self) -> Tensor:
        """Network input ``[B, 3, h, w]`` of the stills that the first step sees, and some more."""
        phase = replace(self.recipe.phases[0], clips=64)
        images, _ = batch_at(self.clips_folder, self.clips, phase, self.recipe.seed, step=0)
        return images[:, 0].to(self.device)

    def advance(self, steps: int, checkpoint_every: int = 100) -> list[float]:
        """Take up to ``steps`` steps and return their losses; log each, and write checkpoints on the way."""
        losses = []
        last = min(self.step + steps, self.recipe.steps)
        while self.step < last:
            started = time.monotonic()
            if self.step % LIST_EVERY == 0:
                self.clips = self._list_clips()
            losses.append(self._take_step())
            self._log(losses[-1], time.monotonic() - started)
            self.step += 1
            if self.step % checkpoint_every == 0 or self.step == last:
                self.save()
        return losses

    def save(self) -> None:
        """Write everything needed to go on, whole or not at all."""
        state = {
            "recipe": identity(self.recipe),
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state,
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_path(self.folder / CHECKPOINT) as temporary:
            torch.save(state, temporary)

    def _resume(self) -> None:
        state = load_checkpoint(self.folder)
        if state["recipe"] != identity(self.recipe):
            raise InputError(
                f"The checkpoint in {self.folder} is of a run with another recipe.",
                "Give the options of that run, or another --run folder.",
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.state = {name: value.to(self.device) for name, value in state["average"].items()}
        self.step = state["step"]

    def _list_clips(self) -> list[Clip]:
        if self.step < LIST_EVERY:
            clips = [clip for clip in self._claim.clips() if clip.seed < self.first_clips]
        else:
            clips = self._claim.clips(self.keep)
        if not clips:
            raise InputError(f"There are no rendered clips in {self.clips_folder}.", "Render some first.")
        return clips

    def _take_step(self) -> float:
        phase = self.recipe.phase_at(self.step)
        images, truth = batch_at(self.clips_folder, self.clips, phase, self.recipe.seed, self.step)
        images, truth = images.to(self.device), truth.to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        set_mode(self.model, phase)
        with torch.autocast(self.device.type, torch.bfloat16):
            predicted = predict(self.model, images)
        loss = total_loss(predicted.float(), truth, phase.weights)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.model, self.step)
        return loss.item()

    def _log(self, loss: float, seconds: float) -> None:
        path = self.folder / LOG_NAME
        phase, at_hand = self.recipe.phase_at(self.step).name, [clip.seed for clip in self.clips]
        row = [self.step, phase, f"{loss:.5f}", f"{seconds:.2f}", len(at_hand), at_hand[0], at_hand[-1]]
        new = not path.exists()
        with path.open("a", newline="") as handle:
            writer = csv.writer(handle)
            if new:
                writer.writerow(["step", "phase", "loss", "seconds", "clips", "first", "last"])
            writer.writerow(row)
        if self.step % 20 == 0:
            LOG.info("step %d of %d, %s: loss %.4f, %.2f s", row[0], self.recipe.steps, phase, loss, seconds)


def trainable_mini() -> VideoDepthModel:
    """The built-in model as it is trained: normalised encoder, temporal modules that begin as identities."""
    model = build_model("mini")
    model.pretrained = ConvEncoder(normalised=True)
    parameters = dict(model.head.named_parameters())
    for name, parameter in parameters.items():
        if "proj_out" in name:
            nn.init.zeros_(parameter)
    nn.init.ones_(parameters["scratch.output_conv2.2.bias"])
    # Behind the last ReLU a pixel that is wrongly 0 would have no gradient to come back by.
    model.head.scratch.output_conv2[3] = nn.Identity()
    return model


def predict(model: VideoDepthModel, images: Tensor) -> Tensor:
    """Inverse depth ``[B, T, h, w]`` of ``[B, T, 3, h, w]``; stills (T = 1) go through as one batch."""
    if images.shape[1] > 1:
        return model(images)
    with skipping_time(model):
        # In pieces of 32, the most slots that one call of the head takes.
        parts = [model.decode(model.encode(part)) for part in images[:, 0].split(32)]
    return torch.cat(parts)[:, None]


@contextmanager
def skipping_time(model: VideoDepthModel) -> Iterator[None]:
    """Let maps pass the temporal modules untouched, so that a batch of unrelated stills may share a call."""
    modules = model.head.motion_modules
    model.head.motion_modules = nn.ModuleList(Skipped() for _ in modules)
    try:
        yield
    finally:
        model.head.motion_modules = modules


def set_mode(model: VideoDepthModel, phase: Phase) -> None:
    """Training mode; where the phase says so the encoder stays as it is, its normalisation included."""
    model.train()
    model.pretrained.train(not phase.frozen_encoder).requires_grad_(not phase.frozen_encoder)


def identity(recipe: Recipe) -> str:
    """What a checkpoint and the run that continues it must share: the seed and the rate, not the length."""
    return repr((recipe.seed, recipe.rate, recipe.weight_decay, recipe.average))


def branch_off(trunk: Path, branch: Path) -> int:
    """Let a run in ``branch`` go on from the newest checkpoint of the one in ``trunk``; return its step then.

    A branch that is there keeps where it began, however far the trunk has gone since.
    """
    kept = branch / BRANCHED
    if not kept.exists():
        branch.mkdir(parents=True, exist_ok=True)
        with atomic_path(kept) as temporary:
            shutil.copyfile(trunk / CHECKPOINT, temporary)
    if not (branch / CHECKPOINT).exists():
        with atomic_path(branch / CHECKPOINT) as temporary:
            shutil.copyfile(kept, temporary)
    return load_checkpoint(branch, BRANCHED)["step"]


def load_checkpoint(folder: Path, name: str = CHECKPOINT) -> dict[str, Any]:
    return torch.load(folder / name, map_location="cpu", weights_only=True)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels only; scales and biases go without."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
