"""``python -m vda.training``: render clips, train the built-in model, export it, draw its curves, judge it.

In: command-line options. Out: files in the cache folder (outside the work tree), and ``mini.safetensors`` where
``export`` is told to put it. The steps are in the other files of this folder.
"""

import argparse
import logging
import os
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from vda.errors import InputError
from vda.network import PRESETS
from vda.training import cache
from vda.training.average import export, unfolded
from vda.training.curves import draw_curves
from vda.training.judge import as_markdown, held_out, in_words, loaded, predictors, rgbd_folder, table
from vda.training.loop import LOG_NAME, Run, branch_off, load_checkpoint
from vda.training.recipe import Recipe
from vda.training.turnover import start_renderers, still_to_come

LOG = logging.getLogger("vda.training")
SHIPPED = Path(__file__).parents[1] / "models" / "mini" / "mini.safetensors"


def main() -> None:
    options = _parser().parse_args()
    options.run = options.run or options.cache / "run"
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    COMMANDS[options.command](options)


def render(options: argparse.Namespace) -> None:
    """Render the training clips and wait for them."""
    for process in start_renderers(options.cache / "clips", _clips(options), options.workers):
        process.join()


def train(options: argparse.Namespace) -> None:
    """Train, or go on training, while the clips that are still missing are rendered beside it."""
    recipe = Recipe(seed=options.seed, steps=options.steps, cooling=options.cooling)
    run = _run(options, recipe, options.run)
    if options.start:
        run.start_from(_weights_to_start_from(options.start, run))
    _to_the_end(run, options.until or recipe.steps)


def cool(options: argparse.Namespace) -> None:
    """Cool down what the run has learned so far, in a folder of its own: the run may go on."""
    branch = options.branch or options.run / "cooled"
    steps = branch_off(options.run, branch) + options.cooling
    recipe = Recipe(seed=options.seed, steps=steps, cooling=options.cooling)
    _to_the_end(_run(options, recipe, branch), recipe.steps)


def _run(options: argparse.Namespace, recipe: Recipe, home: Path) -> Run:
    """The run in ``home``, with its clips being rendered."""
    if 0 < options.keep < options.before:
        raise InputError(
            f"Training begins with {options.before} clips and is to keep {options.keep}.",
            "Give a --keep that is not below --before.",
        )
    folder, seed_after = options.cache / "clips", options.first_seed + options.before
    folder.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    clips = still_to_come(folder, _clips(options), options.keep)
    for clip in clips:
        if clip.seed < seed_after:
            cache.render(folder, clip)
    start_renderers(folder, [clip for clip in clips if clip.seed >= seed_after], options.workers, options.keep)
    # Numbers too small for the usual format cost a hundred times as much and carry nothing.
    torch.set_flush_denormal(True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Run(recipe, home, folder, device, first_clips=seed_after, keep=options.keep)


def _to_the_end(run: Run, last: int) -> None:
    run.advance(last - run.step)
    export(load_checkpoint(run.folder)["average"], run.folder / SHIPPED.name)
    draw_curves(run.folder / LOG_NAME, run.folder / "curve.png")


def ship(options: argparse.Namespace) -> None:
    """Put the newest checkpoint's averaged weights where the package looks for them."""
    SHIPPED.parent.mkdir(exist_ok=True)
    export(load_checkpoint(options.run)["average"], SHIPPED)
    LOG.info("wrote %s (%d bytes)", SHIPPED, SHIPPED.stat().st_size)


def draw(options: argparse.Namespace) -> None:
    draw_curves(options.run / LOG_NAME, options.run / "curve.png")


def judge_weights(options: argparse.Namespace) -> None:
    """Log the tables: the held-out synthetic clips, or the real RGB-D folder that is given."""
    samples = [rgbd_folder(options.rgbd)] if options.rgbd else held_out(options.cache / "held_out")
    chosen = predictors(loaded(options.weights or SHIPPED), options.input_size, stills=options.stills)
    rows = table(samples, chosen)
    LOG.info("%d frames per clip, shorter side %d\n%s", len(samples[0].rgb), options.input_size, as_markdown(rows))
    for sample, figures in zip(samples, rows["mini"], strict=True):
        LOG.info("%s", in_words(sample.name, figures))


COMMANDS = {"render": render, "train": train, "cool": cool, "ship": ship, "draw": draw, "judge": judge_weights}


def _clips(options: argparse.Namespace) -> list[cache.Clip]:
    """The training clips in the order of rendering: many short ones for breadth, every twelfth a long one."""
    height, width = options.size
    return [
        cache.Clip(seed, options.long if seed % 12 == 11 else options.short, height, width)
        for seed in range(options.first_seed, options.first_seed + options.clips)
    ]


def _weights_to_start_from(start: Path, run: Run) -> dict[str, Tensor]:
    """Another run's averaged weights; or exported ones, whose normalisation comes back from some stills."""
    if start.is_dir():
        return load_checkpoint(start)["average"]
    return unfolded(load_file(start), run.some_stills())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vda.training", description=__doc__)
    parser.add_argument("command", nargs="?", default="train", choices=list(COMMANDS))
    parser.add_argument("--cache", type=Path, default=cache.default_cache(), help="clips and checkpoints go here")
    parser.add_argument("--run", type=Path, help="folder of checkpoint, log and curves; default: CACHE/run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="length of the whole run")
    parser.add_argument(
        "--cooling", type=int, default=Recipe.cooling, help="steps at the end that cool down; 0: none"
    )
    parser.add_argument("--branch", type=Path, help="folder of a cool-down; default: RUN/cooled")
    parser.add_argument("--until", type=int, default=0, help="stop after this step, to be resumed later")
    parser.add_argument("--start", type=Path, help="begin with the weights of this run or file")
    parser.add_argument("--clips", type=int, default=4000, help="training clips in all")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first clip")
    parser.add_argument("--before", type=int, default=300, help="clips rendered before training begins")
    parser.add_argument("--keep", type=int, default=0, help="remove the oldest clips beyond so many; 0: keep all")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="rendering processes")
    parser.add_argument("--size", type=int, nargs=2, default=(160, 288), metavar=("H", "W"), help="of the clips")
    parser.add_argument("--short", type=int, default=5, help="frames of most clips")
    parser.add_argument("--long", type=int, default=48, help="frames of every twelfth clip")
    parser.add_argument("--weights", type=Path, help="weights to judge; default: those in the package")
    parser.add_argument("--rgbd", type=Path, help="judge on this folder of real frames with measured depth")
    parser.add_argument("--stills", action="store_true", help="judge the weights without time too (slow)")
    parser.add_argument("--input-size", type=int, default=PRESETS["mini"].input_size)
    return parser


if __name__ == "__main__":
    main()
