"""Train a small classifier of videos on every fold in turn: an example to start from.

    vda fvc scale videos.csv --output-dir scaled
    vda fvc folds scaled/scaled_metadata.csv
    python docs/examples/train_classifier.py scaled/scaled_metadata_folds.csv

In: a table of scaled videos with folds. Out: for each fold how well the videos held out are told apart, then mean
and spread over the folds. Before and while it trains it prints what shows a training that learns nothing.
"""

import argparse
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vda.errors import VdaError
from vda.fvc import ClipChoice, ScaledVideos

# Logits that differ less than this between videos say the same of all of them.
LEAST_SPREAD = 1e-3


class FrameAndTime(nn.Module):
    """Each frame by itself to a vector, then vectors over time: uint8 [N, T, 3, H, W] to logits [N, classes]."""

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        # Groups of channels are normalised, not the batch: what is learnt does not depend on micro-batches.
        self.frame = nn.Sequential(
            *_halving(3, width), *_halving(width, 2 * width), *_halving(2 * width, 4 * width)
        )
        self.time = nn.Sequential(nn.Conv1d(4 * width, 4 * width, 3, padding=1), nn.GELU())
        self.head = nn.Linear(4 * width, classes)
        # Small at first, so that all classes are as likely and the loss begins at ln(classes).
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, video: Tensor) -> Tensor:
        count, frames = video.shape[:2]
        pictures = video.flatten(0, 1).float() / 127.5 - 1
        vectors = self.frame(pictures).mean((2, 3)).unflatten(0, (count, frames))
        logits: Tensor = self.head(self.time(vectors.transpose(1, 2)).mean(2))
        return logits


def _halving(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.GroupNorm(4, outputs), nn.GELU()]


@dataclass(frozen=True)
class Epoch:
    """Means over an epoch's steps; ``spread`` is the standard deviation of a logit over videos."""

    fold: str
    epoch: int
    loss: float
    gradient_norm: float
    spread: float


class Trainer:
    """One network on its device. ``micro_batch`` clips are in it at once; gradients add up to a whole batch's."""

    def __init__(self, classes: int, seed: int, learning_rate: float, micro_batch: int) -> None:
        torch.manual_seed(seed)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network = FrameAndTime(classes).to(self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=learning_rate)
        self.micro_batch = micro_batch

    def parameters(self) -> tuple[int, int]:
        """How many parameters are trained, and how many there are."""
        counts = [(parameter.numel(), parameter.requires_grad) for parameter in self.network.parameters()]
        return sum(count for count, trained in counts if trained), sum(count for count, _ in counts)

    def step(self, video: Tensor, label: Tensor) -> tuple[float, float, Tensor]:
        """Learn from one batch: its loss, the norm of its gradient, its logits."""
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            try:
                loss, logits = self._accumulate(video, label)
                break
            except torch.OutOfMemoryError:
                if self.micro_batch == 1:
                    raise
            # Outside of except: the error holds the tensors that have to go.
            self.micro_batch //= 2
            torch.cuda.empty_cache()
            print(f"out of memory: going on with micro-batches of {self.micro_batch}")
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        return loss, float(norm), logits

    def _accumulate(self, video: Tensor, label: Tensor) -> tuple[float, Tensor]:
        total, logits = 0.0, []
        for clips, labels in zip(video.split(self.micro_batch), label.split(self.micro_batch), strict=True):
            given = self.network(clips.to(self.device))
            share = nn.functional.cross_entropy(given, labels.to(self.device), reduction="sum") / len(label)
            share.backward()
            total += float(share.detach())
            logits.append(given.detach().cpu())
        return total, torch.cat(logits)

    @torch.inference_mode()
    def logits(self, video: Tensor) -> Tensor:
        parts = [self.network(clips.to(self.device)).cpu() for clips in video.split(self.micro_batch)]
        return torch.cat(parts)


def loss_by_hand(logits: Tensor, label: Tensor) -> float:
    """Cross-entropy from its definition, in plain numbers: the mean of -ln(exp(own) / sum of exp)."""
    losses = [
        math.log(sum(math.exp(value) for value in row)) - row[own]
        for row, own in zip(logits.tolist(), label.tolist(), strict=True)
    ]
    return sum(losses) / len(losses)


def balanced_accuracy(logits: Tensor, label: Tensor) -> float:
    """The mean over the labels of how many of their videos were told rightly: 0.5 is chance, for two."""
    right = (logits.argmax(1) == label).double()
    return float(torch.stack([right[label == each].mean() for each in label.unique()]).mean())


def check_beginning(trainer: Trainer, logits: Tensor, label: Tensor) -> None:
    """Say, before anything is learnt, whether what is trained and measured is what is meant."""
    trained, all_of_them = trainer.parameters()
    print(f"  {trained} of {all_of_them} parameters are trained")
    if not trained:
        raise SystemExit("Nothing is trained: requires_grad is False everywhere.")
    by_hand, by_torch = loss_by_hand(logits, label), float(nn.functional.cross_entropy(logits, label))
    chance = math.log(logits.shape[1])
    print(f"  loss at the start {by_torch:.4f}, by hand {by_hand:.4f}, of a guess {chance:.4f}")
    if abs(by_hand - by_torch) > 1e-3:
        raise SystemExit("The loss is not the cross-entropy of these logits and labels.")
    if abs(by_torch - chance) > 0.2:
        print("  WARNING: it does not begin at a guess: look at the last layer, or at labels and their order")


def check_epoch(epoch: Epoch) -> None:
    print(
        f"  epoch {epoch.epoch}: loss {epoch.loss:.4f}, gradient {epoch.gradient_norm:.2e}, "
        f"spread of the logits {epoch.spread:.2e}"
    )
    if not math.isfinite(epoch.loss):
        raise SystemExit("The loss is no number any more: lower --learning-rate.")
    if epoch.gradient_norm == 0:
        print("  WARNING: no gradient arrives: something is detached, or all activations are dead")
    if epoch.epoch > 0 and epoch.spread < LEAST_SPREAD:  # at first it is small on purpose
        print("  WARNING: the network says the same of all videos")


def train_fold(fold: str, asked: argparse.Namespace) -> tuple[list[Epoch], float]:
    """Train without ``fold``, and tell its videos apart."""
    clip = ClipChoice(asked.frames, random=True, seed=asked.seed)
    videos = ScaledVideos(asked.table, clip, folds=asked.folds, without=[fold])
    held_out = ScaledVideos(asked.table, ClipChoice(asked.frames), folds=asked.folds, only=[fold])
    trainer = Trainer(len(videos.labels), asked.seed, asked.learning_rate, asked.micro_batch or asked.batch)
    print(f"fold {fold}: {len(videos)} videos to learn from, {len(held_out)} held out")
    order = torch.Generator().manual_seed(asked.seed)
    loader = DataLoader(videos, asked.batch, shuffle=True, num_workers=asked.workers, generator=order)
    history = [_epoch(fold, number, trainer, videos, loader) for number in range(asked.epochs)]
    logits, label = zip(*_told(trainer, held_out, asked), strict=True)
    return history, balanced_accuracy(torch.cat(logits), torch.cat(label))


def _epoch(fold: str, number: int, trainer: Trainer, videos: ScaledVideos, loader: DataLoader[Any]) -> Epoch:
    videos.set_epoch(number)
    losses, norms, spreads = [], [], []
    for place, batch in enumerate(loader):
        if number == place == 0:
            check_beginning(trainer, trainer.logits(batch["video"]), batch["label"])
        loss, norm, logits = trainer.step(batch["video"], batch["label"])
        losses.append(loss)
        norms.append(norm)
        spreads.append(float(logits.std(0, correction=0).mean()))
    means = (sum(values) / len(values) for values in (losses, norms, spreads))
    epoch = Epoch(fold, number, *means)
    check_epoch(epoch)
    return epoch


def _told(trainer: Trainer, held_out: ScaledVideos, asked: argparse.Namespace) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in DataLoader(held_out, asked.batch, num_workers=asked.workers):
        yield trainer.logits(batch["video"]), batch["label"]


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path, help="the scaled table")
    parser.add_argument("--folds", type=Path, help="a table of folds, if they are not in TABLE")
    parser.add_argument("--frames", type=int, default=16, help="frames of a clip")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16, help="clips that a step learns from")
    parser.add_argument(
        "--micro-batch",
        type=int,
        default=os.environ.get("VDA_BATCH_SIZE", "0"),  # text, which argparse reads as it reads the option
        help="clips in the network at once [VDA_BATCH_SIZE; default: as many as memory takes]",
    )
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--workers", type=int, default=2, help="processes that read videos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--history", type=Path, help="write what each epoch gave, as JSON")
    return parser.parse_args()


def main() -> None:
    asked = _asked()
    # Runs with one seed are the same; where an operation cannot be, torch says so.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    parts = ScaledVideos(asked.table, folds=asked.folds).parts
    if len(parts) < 2:
        raise SystemExit("The table has no folds: vda fvc folds makes some.")
    trained = [train_fold(part, asked) for part in parts]
    scores = torch.tensor([score for _, score in trained], dtype=torch.float64)
    for part, score in zip(parts, scores.tolist(), strict=True):
        print(f"fold {part}: balanced accuracy {score:.3f}")
    print(f"over {len(parts)} folds: {float(scores.mean()):.3f} +- {float(scores.std()):.3f}")
    if asked.history:
        epochs = [asdict(epoch) for history, _ in trained for epoch in history]
        asked.history.write_text(json.dumps({"epochs": epochs, "balanced_accuracy": scores.tolist()}, indent=2))


if __name__ == "__main__":
    try:
        main()
    except VdaError as error:
        raise SystemExit(str(error)) from error
