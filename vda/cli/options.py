"""What the commands share: options, how errors are shown, and exit codes."""

import functools
import inspect
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, TypeVar, cast

import click

from vda.cli.output import say
from vda.cli.types import FRAME_RANGE, PATH, SCALE_AND_SHIFT, DepthScale, OneOf
from vda.errors import VdaError, WorkError
from vda.machine.shortage import require_memory, system_error
from vda.shown import printable, quoted

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
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            # Click prints it with what was typed in it, which may be a name that the shell filled in.
            message = error.format_message()
            # Click's own messages may have several lines.
            fit = printable(message, one_line=any("\n" in argument for argument in ctx.meta["vda.arguments"]))
            if fit == message:
                raise
            raise click.UsageError(fit, ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            require_memory()
            return super().invoke(ctx)
        except VdaError as error:
            _show(error)
            ctx.exit(error.exit_code)
        except Exception as error:
            # Readers and writers translate their own; what a library does by itself, and a question whether a
            # file is there, end here. So does a library that finds no room to be loaded, in its own words.
            if (answer := system_error(error)) is None:
                raise
            _show(answer)
            ctx.exit(answer.exit_code)
        except KeyboardInterrupt:
            say(f"Interrupted; what was finished is kept. This goes on: {same_again(ctx)}", err=True)
            ctx.exit(EXIT_INTERRUPTED)


class Group(click.Group):
    """A group whose commands are ``Command``."""

    command_class = Command
    group_class = type


def same_again(ctx: click.Context) -> str:
    """The command of ``ctx`` as a shell takes it, to go on with what it began: without what would begin anew."""
    program = Path(sys.argv[0])
    # Not on the way that the shell looks along, as in an environment that is not activated.
    found = shutil.which(program.name)
    names = ctx.command_path.split()
    if program.name == "__main__.py":
        names[:1] = [f"{quoted(sys.executable)} -m vda"]
    elif program.is_file() and (found is None or not program.samefile(found)):
        names[:1] = [quoted(program)]
    arguments = [argument for argument in ctx.meta.get("vda.arguments", []) if argument != "--restart"]
    return " ".join([*names, *map(quoted, arguments)])


def _show(error: VdaError) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    parts = error.parts if isinstance(error, WorkError) else ()
    say(f"Error: {error.problem}", *(f"  {part}" for part in parts), error.remedy, err=True)
    if isinstance(error, WorkError) and error.log is not None:
        say(f"The end of {error.log}:", *error.tail.splitlines(), err=True)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Join options into one decorator, in the order in which ``--help`` shows them."""
    return lambda command: functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def gathered(name: str, build: Callable[..., object] | str) -> Callable[[F], F]:
    """Hand the options that ``build`` takes to a command as one object: its keyword ``name``.

    ``build`` is a function, or ``module:Class`` for a settings class of the library, which is loaded when the
    command runs. Its keywords are the names of the options; those that the command lacks keep their defaults.
    """

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def with_object(*arguments: Any, **options: Any) -> Any:
            make = resolve_name(build) if isinstance(build, str) else build
            own = {key: options.pop(key) for key in inspect.signature(make).parameters if key in options}
            return command(*arguments, **{name: make(**own)}, **options)

        return cast(F, with_object)

    return decorate


gathered_plan = gathered("plan", "vda.splitting.stage:PlanSettings")
gathered_run = gathered("run", "vda.supervisor.resolve:RunSettings")
gathered_merge = gathered("merge", "vda.merging.stage:MergeSettings")

scene_argument = click.argument("scene", type=PATH)
scene_option = click.option("--scene", "root", type=PATH, help="Scene directory [default: data/<stem>].")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
encoding_option = click.option("--encoding", help="How METADATA is stored, such as cp1252 [default: guessed].")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Tell what would be done, how long it takes and how much disk; write nothing."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace results that are there.")
by_order_option = click.option(
    "--by-order", is_flag=True, help="Frames are in the order of the files' names, whatever numbers these hold."
)
coding_option = click.option(
    "--coding",
    type=OneOf("vda.depthmaps.codings:CODINGS"),
    help="How codes lie over the range: sqrt and log closer together where values are small [default: linear].",
)
# Of a run, and of the tasks that it hands to an engine.
batch_size_option = click.option(
    "--batch-size",
    type=click.IntRange(min=0),
    default=0,
    envvar="VDA_BATCH_SIZE",
    help="Frames in the encoder at once [default: by memory].",
)
decoder_option = click.option(
    "--decoder",
    type=click.Choice(["cpu", "gpu"]),
    default="cpu",
    show_default=True,
    help="What decodes the film; gpu: NVDEC, each picture held against the CPU's, which goes on in doubt.",
)
retries_option = click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Attempts per chunk, after the first, in a row without a finished window.",
)
restart_option = click.option(
    "--restart", is_flag=True, help="Throw away what was computed with other settings and start over."
)


def signal_options(default: str | None) -> Callable[[F], F]:
    """How pictures are taken that a stream states wrongly; ``default`` None is as a scene has it, else auto."""
    return together(
        click.option(
            "--deinterlace",
            type=click.Choice(["auto", "on", "off"]),
            default=default,
            help="Make whole pictures of fields [default: auto, where the stream says so].",
        ),
        click.option(
            "--color",
            metavar="WORDS",
            default=default,
            help="For colours that are stated wrongly: sdr, pq, hlg; bt601, bt709, bt2020; limited, full, "
            "joined by commas [default: auto].",
        ),
    )


split_options = together(
    click.option("--chunks", type=click.IntRange(min=1), help="Number of chunks [default: 4 per device]."),
    click.option("--frames", type=FRAME_RANGE, help="Only this half-open range; names keep the video's index."),
    click.option(
        "--shots",
        type=PATH,
        help="Shots as sequences of their own: auto finds the cuts, FILE lists them (shots.csv) [default: none].",
    ),
    click.option("--stride", type=click.IntRange(min=1), help="Use every N-th frame only; names keep the index."),
    click.option("--fps", type=float, help="Use about so many frames per second; of images, their rate."),
    click.option(
        "--chunking",
        type=click.Choice(["linked", "independent"]),
        help="Chunks that share the video's anchors, or videos of their own [default: linked].",
    ),
    click.option(
        "--overlap", type=click.IntRange(min=0), help="Frames that independent chunks share [default: 32]."
    ),
    click.option("--extract", is_flag=True, help="Also write each chunk as a clip; implies independent."),
    click.option(
        "--trust-container", is_flag=True, help="Take the frame count from the container, without decoding."
    ),
    click.option(
        "--max-res", type=click.IntRange(min=1), help="Longest side of the depth in pixels [default: the video's]."
    ),
    signal_options(None),
    click.option(
        "--crop",
        metavar="auto|X,Y,W,H|off",
        help="What lies between black bars: found, given or all [default: off].",
    ),
    click.option("--mask", type=PATH, help="An image, white where subtitles or logos cover the pictures."),
)

run_options = together(
    click.option("--model", default="auto", show_default=True, help="auto, mini, vits, vitb, vitl or metric-..."),
    click.option("--weights", type=PATH, help="A checkpoint: .pth or .safetensors."),
    click.option("--input-size", type=int, help="Network size of the shorter side [default: the model's own]."),
    click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "fp16", "bf16"]),
        default="auto",
        show_default=True,
        help="auto: the best that every device passes.",
    ),
    click.option(
        "--engine",
        type=click.Choice(["torch", "openvino"]),
        help="What computes the network; openvino: the parts it is faster at on this CPU [default: torch].",
    ),
    decoder_option,
    click.option(
        "--devices",
        default="auto",
        show_default=True,
        help="auto, cpu, cpu,cpu, 0,1, cuda:0, UUIDs, mps, rocm:0, openvino:GPU.",
    ),
    batch_size_option,
    click.option(
        "--threads", type=click.IntRange(min=1), help="CPU threads per worker [default: cores / workers]."
    ),
    click.option(
        "--on",
        type=click.Choice(["local", "inline", "slurm", "ray"]),
        default="local",
        show_default=True,
        help="Where workers run: as processes of this machine, inside this process, as job arrays of SLURM, or as "
        "tasks of Ray.",
    ),
    click.option(
        "--slurm",
        multiple=True,
        metavar="NAME=VALUE",
        help="An option of sbatch, such as partition=gpu, or at-once=8; kept with the scene.",
    ),
    click.option("--prove", is_flag=True, help="With slurm or ray: first try half precision on each kind of GPU."),
    click.option(
        "--ray-address",
        metavar="ADDRESS",
        help="The cluster for --on ray, such as 10.0.0.1:6379 or auto [default: RAY_ADDRESS, or one of its own].",
    ),
    click.option(
        "--stage-video",
        metavar="DIR",
        help="With --on slurm or ray: nodes read a copy in this folder of their own disk; auto: a temporary one.",
    ),
    retries_option,
)

merge_options = together(
    click.option(
        "--format",
        "formats",
        type=OneOf("vda.merging.outputs:FORMATS"),
        multiple=True,
        default=("png16",),
        show_default=True,
        help="How depth is written; may be given several times.",
    ),
    overwrite_option,
    click.option("--colormap", default="inferno", show_default=True, help="Any of Matplotlib's, for the video."),
    click.option("--side-by-side", is_flag=True, help="The frame beside its depth, in the video."),
    click.option(
        "--align",
        type=click.Choice(["sequential", "joint", "smooth"]),
        default="sequential",
        show_default=True,
        help="Windows fitted one after the other, or all together; jointly, metric ones get a scale each. smooth "
        "also mends what independent chunks differ by beyond scale and shift.",
    ),
    click.option(
        "--refine",
        type=click.Choice(["none", "guided"]),
        default="none",
        show_default=True,
        help="guided: edges of the depth follow those of the frames (guided filter); soft depth has none.",
    ),
    coding_option,
    click.option(
        "--depth-scale", type=DepthScale(), help="16-bit codes per metre [default: mm, for metric depth]."
    ),
    click.option(
        "--metres", type=SCALE_AND_SHIFT, help="1/metres = SCALE * inverse depth + SHIFT, for --depth-scale."
    ),
    click.option(
        "--exr",
        type=click.Choice(["none", "rgb"]),
        default="none",
        show_default=True,
        help="What EXR shows besides depth: the frame's colours, in linear light.",
    ),
    click.option("--exr-layer", help="EXR's layer of depth: depth for the channel depth.Z [default: Z alone]."),
    click.option(
        "--exr-type",
        type=click.Choice(["float", "half"]),
        default="float",
        show_default=True,
        help="Bits of depth in EXR: 32, or 16 of which 11 count.",
    ),
    click.option(
        "--exr-compression",
        type=click.Choice(["zip", "pxr24"]),
        default="zip",
        show_default=True,
        help="zip keeps every bit; pxr24 rounds floats to 24.",
    ),
    click.option(
        "--parallax",
        type=click.FloatRange(0, 10),
        default=2.0,
        show_default=True,
        help="Between the nearest and the farthest in two views (sbs and the like), in per cent of the width.",
    ),
    click.option(
        "--convergence",
        type=click.FloatRange(0, 1),
        default=0.5,
        show_default=True,
        help="What lies in the screen: 0 the farthest, all else before it; 1 the nearest, all else behind it.",
    ),
    click.option(
        "--eyes",
        type=click.Choice(["both", "right"]),
        default="both",
        show_default=True,
        help="Which views are made: both, shifted by half each, or the right one beside the frame itself.",
    ),
    click.option("--discard-windows", is_flag=True, help="Remove the raw windows once merged and verified."),
)


def video_option(default: bool) -> Callable[[F], F]:
    """``--create-video``, which is on or off by ``default``."""
    return click.option(
        "--create-video/--no-video",
        default=default,
        show_default=True,
        help="Also write depth_visualization.mp4: the depth in colours.",
    )
