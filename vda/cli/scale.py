"""``vda fvc scale``: a data set's videos to one size."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vda.cli.options import (
    Command,
    dry_run_option,
    encoding_option,
    gathered,
    gathered_run,
    json_option,
    quiet_option,
    run_options,
    signal_options,
    together,
)
from vda.cli.output import say
from vda.cli.types import PATH, SHARD
from vda.errors import UsageError, WorkError
from vda.reporter import Reporter
from vda.shown import counted

if TYPE_CHECKING:
    from vda.fvc.rate import Rate
    from vda.fvc.request import ScaleSettings
    from vda.fvc.scale import ScaleResult
    from vda.fvc.selection import Order, Selection
    from vda.supervisor.resolve import RunSettings


method_options = together(
    click.option(
        "--size", type=int, default=256, show_default=True, help="Side of the scaled videos in pixels; even."
    ),
    click.option(
        "--method",
        type=click.Choice(["letterbox", "resize", "resolution", "autoencoder"]),
        default="letterbox",
        show_default=True,
        callback=lambda ctx, param, value: "resize" if value == "resolution" else value,
        help="Padded to a square; longer side SIZE (resize, resolution); or through an autoencoder.",
    ),
    click.option("--autoencoder", metavar="NAME_OR_DIR", help="A diffusers AutoencoderKL, or a model with vae/."),
    click.option(
        "--autoencoder-device", default="auto", show_default=True, help="Where it runs: auto, cpu or cuda:0."
    ),
    click.option(
        "--chunk-size",
        type=click.IntRange(min=1),
        default=100,
        show_default=True,
        help="Frames in the autoencoder at once.",
    ),
    click.option(
        "--crf",
        type=click.IntRange(0, 51),
        default=10,
        show_default=True,
        help="Quality of the picture, from 0, the best, to 51; 10 keeps colours within 2 levels.",
    ),
    click.option(
        "--gop",
        type=click.IntRange(min=1),
        default=12,
        show_default=True,
        help="A key frame every so many frames at least: reading can start there.",
    ),
    click.option(
        "--modality",
        type=click.Choice(["rgb", "depth", "both"]),
        default="rgb",
        show_default=True,
        help="What is scaled: the pictures, their depth, or both.",
    ),
    click.option(
        "--depth-format",
        type=click.Choice(["mkv", "png"]),
        default="mkv",
        show_default=True,
        help="Depth as lossless video, or as images.",
    ),
    click.option("--make-depth", is_flag=True, help="First compute depth that is not there, as 'vda depth' does."),
)
frame_options = together(
    click.option("--fps", type=click.FloatRange(min=0, min_open=True), help="This rate, by time [default: own]."),
    click.option(
        "--stride",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Every so many frames' time.",
    ),
    click.option("--max-frames", type=click.IntRange(min=1), help="At most the first so many [default: all]."),
    click.option(
        "--cfr", is_flag=True, help="Make a rate that varies constant [default: keep the frames' times]."
    ),
)
row_options = together(
    click.option(
        "--jobs",
        type=click.IntRange(min=1),
        help="Videos at once, each in a process [default: cores, or those of a SLURM task; 1 with --autoencoder].",
    ),
    click.option("--keep-removed", is_flag=True, help="Keep, and mark, videos that METADATA has no more."),
    click.option(
        "--rows-per-task",
        type=click.IntRange(min=1),
        default=100,
        show_default=True,
        help="With --on slurm or ray: rows of a task.",
    ),
    click.option("--detach", is_flag=True, help="With --on slurm: submit, and do not wait."),
    click.option("--start-idx", type=click.IntRange(min=0), help="First row of the metadata [default: 0]."),
    click.option("--end-idx", type=click.IntRange(min=0), help="Row to stop before [default: the last too]."),
    click.option("--shard", type=SHARD, help="Part I of N [default: SLURM_PROCID of SLURM_NTASKS, or all]."),
    click.option(
        "--order",
        type=click.Choice(["forward", "reverse"]),
        default="forward",
        show_default=True,
        help="Which videos come first: the first rows or the last.",
    ),
    click.option(
        "--resume/--delete-existing", default=True, show_default=True, help="Keep what is whole, or start over."
    ),
)


def rate(*, fps: float | None, stride: int, max_frames: int | None, cfr: bool) -> "Rate":
    from vda.fvc.rate import Rate

    return Rate(fps, stride, max_frames, cfr)


def rows_asked_for(
    *, start_idx: int | None, end_idx: int | None, shard: tuple[int, int] | None, order: "Order"
) -> "Selection":
    from vda.fvc.selection import Selection, Shard

    return Selection(start_idx, end_idx, Shard(*shard) if shard else None, order)


@click.command(cls=Command)
@click.argument("metadata", type=PATH)
@click.option("--output-dir", type=PATH, required=True, help="Where everything goes.")
@click.option("--root", type=PATH, help="Where else relative paths are looked for.")
@encoding_option
@method_options
@signal_options("auto")
@frame_options
@row_options
@run_options
@dry_run_option
@quiet_option
@json_option
@gathered("rate", rate)
@gathered("settings", "vda.fvc.request:ScaleSettings")
@gathered("rows", rows_asked_for)
@gathered_run
def scale(
    metadata: Path,
    output_dir: Path,
    root: Path | None,
    encoding: str | None,
    settings: "ScaleSettings",
    rows: "Selection",
    run: "RunSettings",
    autoencoder_device: str,
    make_depth: bool,
    jobs: int | None,
    keep_removed: bool,
    rows_per_task: int,
    detach: bool,
    resume: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Bring the videos in METADATA (CSV, JSON lines, Parquet or Arrow; video_path, label) to one size.

    Example: vda fvc scale videos.csv --output-dir scaled --size 256 --modality both
    """
    from vda.cli.progress import Progress
    from vda.fvc.makedepth import DepthMaker
    from vda.fvc.paths import Places
    from vda.fvc.scale import scale as scale_all
    from vda.launch.interrupts import scheduler_asks

    if make_depth and not settings.wants_depth:
        raise UsageError("--make-depth is of no use without depth.", "Give --modality depth or both.")
    progress = Progress(quiet, unit="video")
    maker = DepthMaker(output_dir / "scenes", Places(metadata, root), run, Progress(quiet), settings.signal)
    asked: dict[str, Any] = {
        # A cluster's tasks are numbered anew, wherever they are asked for.
        "selection": rows if run.on in ("slurm", "ray") else _of_this_task(rows, progress),
        "root": root,
        "encoding": encoding,
        "delete_existing": not resume,
        "keep_removed": keep_removed,
        "jobs": jobs or (1 if settings.autoencoder else _cores()),
        "autoencoder_device": autoencoder_device,
        "maker": maker if make_depth else None,
        "reporter": progress,
    }
    if dry_run:
        from vda.cli.foretelling import foretell_scaling
        from vda.fvc.foretold import forecast_scale

        return foretell_scaling(forecast_scale(metadata, output_dir, settings, **asked), as_json=as_json)
    if run.on in ("slurm", "ray"):
        result = _scaled_elsewhere(
            metadata, output_dir, settings, run, rows_per_task, jobs, asked, waits=not detach
        )
    elif detach:
        raise UsageError("--detach is for jobs of SLURM.", "Give --on slurm, or leave it out.")
    else:
        with scheduler_asks() as told:
            result = scale_all(metadata, output_dir, settings, **asked, should_stop=told)
    progress.close()
    if detach:
        say("It is whole when the jobs are: the same command again tells, and submits what is missing.")
        return
    summary = (
        f"{counted(result.rows, 'video')} in {output_dir}: {result.scaled} scaled now, {result.kept} were there."
    )
    say(json.dumps(result.to_json()) if as_json else summary)
    if result.failed:
        raise WorkError(
            f"{len(result.failed)} of {result.rows} videos could not be scaled.",
            f"The reasons are in {output_dir / 'scaled_log.csv'}; the others are done.",
        )


# What is this command's own, and no task's.
_NOT_FOR_TASKS = {
    "on", "slurm", "ray_address", "detach", "rows_per_task", "start_idx", "end_idx", "shard", "resume", "dry_run",
    "jobs", "as_json", "quiet", "precision",
}  # fmt: skip


def _scaled_elsewhere(
    metadata: Path,
    folder: Path,
    settings: "ScaleSettings",
    run: "RunSettings",
    rows_per_task: int,
    jobs: int | None,
    asked: dict[str, Any],
    *,
    waits: bool,
) -> "ScaleResult":
    from vda.fvc.scalejobs import ScaleJobs
    from vda.fvc.spread import scale_elsewhere

    if run.on == "ray" and not waits:
        raise UsageError("--detach is for jobs of SLURM.", "Leave it out with --on ray.")
    made = asked["maker"] is not None
    # Nodes of different kinds would choose differently, and all depth of a data set is made with the same.
    precision = ["--precision", "fp32" if run.precision == "auto" else run.precision] if made else []
    on_gpu = (
        run.devices != "cpu" if made else settings.autoencoder is not None and asked["autoencoder_device"] != "cpu"
    )
    tasks = ScaleJobs(
        folder,
        ("fvc", "scale", *_words_of_a_task(click.get_current_context()), *precision, "-q"),
        "ray" if run.on == "ray" else "slurm",
        rows_per_task,
        jobs or (1 if settings.autoencoder else None),
        on_gpu,
        run.slurm,
        run.ray_address,
        run.retries,
        waits,
    )
    tasks.require_ready()
    rest = {name: asked[name] for name in ("selection", "root", "encoding", "delete_existing", "keep_removed")}
    return scale_elsewhere(
        metadata,
        folder,
        settings,
        tasks.hand_out,
        waits=waits,
        maker=asked["maker"],
        reporter=asked["reporter"],
        **rest,
    )


def _words_of_a_task(ctx: click.Context) -> list[str]:
    """What was asked of this command, for a task on another machine: whole paths, and nothing about where."""
    words: list[str] = []
    for param in ctx.command.params:
        value = ctx.params.get(param.name or "")
        source = ctx.get_parameter_source(param.name or "")
        if source in (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP) or param.name in _NOT_FOR_TASKS:
            continue
        if not isinstance(param, click.Option):
            words.append(_as_word(value))
        elif param.is_flag:
            words += [param.opts[0]] if value else []
        else:
            for each in (value or ()) if param.multiple else [value]:
                words += [param.opts[0], _as_word(each)]
    return words


def _as_word(value: object) -> str:
    """An existing file's whole path: names of models may be paths as well."""
    if isinstance(value, Path) or (isinstance(value, str) and os.sep in value and Path(value).exists()):
        return str(Path(value).resolve())
    return str(value)


def _cores() -> int:
    """Cores of this process alone: a task of a SLURM step shares its node with others of the step."""
    from vda.fvc.selection import Shard

    if Shard.of_slurm_task(os.environ) is not None:
        return int(os.environ.get("SLURM_CPUS_PER_TASK", "1"))
    return len(os.sched_getaffinity(0))


def _of_this_task(rows: "Selection", reporter: Reporter) -> "Selection":
    """The rows asked for; where none are, those of this SLURM task."""
    from vda.fvc.selection import Shard

    task = Shard.of_slurm_task(os.environ)
    if task is None or (rows.start, rows.end, rows.shard) != (None, None, None):
        return rows
    reporter.say(f"Shard {task.index} of {task.count}, as SLURM numbers this task; --shard 0/1 takes all rows.")
    return replace(rows, shard=task)
