"""What the commands share: options, how errors are shown, and exit codes."""

import functools
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import click

from vda.errors import UsageError, VdaError, WorkError

EXIT_INTERRUPTED = 130

F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """A command that shows an error as its two sentences, and a traceback only with ``--debug``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["vda.arguments"] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except VdaError as error:
            _show(error)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted; what was finished is kept.", err=True)
            ctx.exit(EXIT_INTERRUPTED)


class Group(click.Group):
    """A group whose commands are ``Command``."""

    command_class = Command
    group_class = type


def _show(error: VdaError) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    click.echo(f"Error: {error.problem}\n{error.remedy}", err=True)
    if isinstance(error, WorkError) and error.log is not None:
        click.echo(f"The end of {error.log}:\n{error.tail}", err=True)


class DepthScale(click.ParamType):
    """``mm``, ``tum``, ``kitti`` or a number: 16-bit codes to the metre."""

    name = "mm|tum|kitti|FLOAT"
    known: ClassVar = {"mm": 1000.0, "tum": 5000.0, "kitti": 256.0}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            codes = self.known[value] if value in self.known else float(value)
        except (TypeError, ValueError):
            codes = 0.0
        if not 0 < codes < float("inf"):
            self.fail(f"{value!r} is neither mm, tum, kitti nor a number of codes to the metre.", param, ctx)
        return codes


class TwoNumbers(click.ParamType):
    """``SCALE,SHIFT``."""

    name = "SCALE,SHIFT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        try:
            scale, shift = (float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not SCALE,SHIFT, two numbers.", param, ctx)
        return scale, shift


class FrameRange(click.ParamType):
    """``A:B``, a half-open range of frames."""

    name = "A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        try:
            first, last = (int(part) for part in value.split(":"))
        except ValueError:
            self.fail(f"{value!r} is not A:B, two frame indices.", param, ctx)
        return first, last


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Join options into one decorator, in the order in which ``--help`` shows them."""
    return lambda command: functools.reduce(lambda inner, option: option(inner), reversed(options), command)


scene_argument = click.argument("scene", type=click.Path(path_type=Path))
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")

split_options = together(
    click.option("--chunks", type=click.IntRange(min=1), help="So many chunks [default: 4 a device]."),
    click.option("--frames", type=FrameRange(), help="Only this half-open range; names keep the video's index."),
    click.option(
        "--chunking",
        type=click.Choice(["linked", "independent"]),
        help="Chunks that share the video's anchors, or videos of their own [default: linked].",
    ),
    click.option("--overlap", type=click.IntRange(min=0), help="Frames independent chunks share [default: 32]."),
    click.option("--extract", is_flag=True, help="Also write each chunk as a clip; implies independent."),
    click.option("--trust-container", is_flag=True, help="Take the frame count from the container, uncounted."),
)

run_options = together(
    click.option("--model", default="auto", show_default=True, help="auto, mini, vits, vitb, vitl or metric-..."),
    click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint: .pth or .safetensors."),
    click.option("--input-size", type=int, help="Network size of the shorter side [default: the model's own]."),
    click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "fp16", "bf16"]),
        default="auto",
        show_default=True,
        help="The best that every device passes, or this one.",
    ),
    click.option("--devices", default="auto", show_default=True, help="auto, cpu, cpu,cpu, 0,1, cuda:0 or UUIDs."),
    click.option(
        "--batch-size",
        type=click.IntRange(min=0),
        default=0,
        envvar="VDA_BATCH_SIZE",
        help="Frames in the encoder at once [default: by memory].",
    ),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads a worker [default: cores / workers]."),
    click.option("--on", type=click.Choice(["local", "inline"]), default="local", show_default=True),
    click.option("--retries", type=click.IntRange(min=0), default=3, show_default=True),
)

restart_option = click.option(
    "--restart", is_flag=True, help="Throw away what was computed with other settings and start over."
)

merge_options = together(
    click.option(
        "--format",
        "formats",
        type=click.Choice(["png16", "png8", "exr", "npz", "npy", "mkv", "hevc", "h264"]),
        multiple=True,
        default=("png16",),
        show_default=True,
        help="May be given several times.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace results that are there."),
    click.option("--colormap", default="inferno", show_default=True, help="Any of Matplotlib's, for the video."),
    click.option("--side-by-side", is_flag=True, help="The frame beside its depth, in the video."),
    click.option(
        "--align",
        type=click.Choice(["sequential", "joint"]),
        default="sequential",
        show_default=True,
        help="Windows fitted one after the other, or all together.",
    ),
    click.option("--depth-scale", type=DepthScale(), help="Codes to the metre [default: mm, for metric depth]."),
    click.option(
        "--metres", type=TwoNumbers(), help="1/metres = SCALE * inverse depth + SHIFT, for --depth-scale."
    ),
    click.option("--discard-windows", is_flag=True, help="Remove the raw windows once merged and verified."),
)


def scene_for(video: Path, root: Path | None) -> Path:
    """The scene directory of ``video``: ``root``, or ``data/<stem>``."""
    return root or Path("data") / video.stem


def run_settings(**values: Any) -> Any:
    """Gather the values of ``run_options`` (and ``--restart``) from a command's keywords."""
    from dataclasses import fields

    from vda.pipeline import RunSettings

    names = {field.name for field in fields(RunSettings)}
    return RunSettings(**{name: value for name, value in values.items() if name in names})


def planning(
    *,
    chunks: int | None,
    frames: tuple[int, int] | None,
    chunking: str | None,
    overlap: int | None,
    extract: bool,
    trust_container: bool,
    **_others: Any,
) -> dict[str, Any]:
    """Gather the values of ``split_options`` from a command's keywords; ``--extract`` implies independent."""
    if extract and chunking == "linked":
        raise UsageError("Linked chunks cannot be computed as clips.", "Leave out --extract or --chunking linked.")
    return {
        "chunks": chunks,
        "frames": frames,
        "chunking": chunking or ("independent" if extract else "linked"),
        "overlap": overlap,
        "extract": extract,
        "trust_container": trust_container,
    }


def merge_settings(**values: Any) -> Any:
    """Gather the values of ``merge_options`` (and ``--create-video``) from a command's keywords."""
    from dataclasses import fields

    from vda.merging.stage import MergeSettings

    names = {field.name for field in fields(MergeSettings)}
    return MergeSettings(**{name: value for name, value in values.items() if name in names})


def one_root(videos: tuple[Path, ...], root: Path | None) -> list[Path]:
    """The scene of each video; one ``--scene`` serves one video only."""
    if root is not None and len(videos) != 1:
        raise UsageError("--scene names one scene, and there are several videos.", "Leave it out.")
    return [scene_for(video, root) for video in videos]
