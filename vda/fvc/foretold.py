"""What ``vda fvc scale`` would do: its start up to the first write, each row looked at, and one scaled to see.

In: what ``scale`` is given. Out: a ``ScaleForecast``, or the error that the start would end with. The first frames
of one video are scaled into a temporary folder, by the functions that scale them all; nothing else is written. Of
many rows some are opened to count frames, and the rest is reckoned from these.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from vda.api.films import Failure
from vda.api.rehearsal import Outlook, forecast_depth
from vda.errors import StorageError, VdaError, WorkError
from vda.fvc.autoencoder import load_autoencoder
from vda.fvc.clip import Scaling
from vda.fvc.fallback import rungs
from vda.fvc.joined import gone_from
from vda.fvc.ledger import Ledger
from vda.fvc.makedepth import DepthMaker
from vda.fvc.paths import Places
from vda.fvc.request import Item, ScaleSettings
from vda.fvc.row import Workplace
from vda.fvc.scale import require_same_kind, rows_asked_for, threads_of
from vda.fvc.selection import Selection
from vda.fvc.source import scene_of
from vda.machine.host import disk_free_bytes
from vda.merging.settings import MergeSettings
from vda.outlook.forecast import Forecast, size
from vda.reporter import Noted, Reporter, Silence
from vda.scene.scene import Scene
from vda.shown import counted, duration
from vda.splitting.settings import PlanSettings

# Opening a video takes some hundredths of a second; of very many the mean is known well enough from so many.
_MOST_OPENED: Final = 100
# A second or two of most films.
_TRIED_FRAMES: Final = 48
# The first, and others from all over the table.
_TRIED_VIDEOS: Final = 6
# Videos differ more than a film's frames do: a bound from above is of more use.
_MARGIN: Final = 1.2


@dataclass(frozen=True)
class ScaleForecast:
    """What scaling would do. ``failed`` are rows that cannot be scaled, with the reason, by the output's name.

    ``frames`` are those to scale, ``seconds`` and ``disk_bytes`` what they take; None where nothing could be
    tried. ``depth`` is what would be computed first. ``removed`` are outputs of rows that are no more.
    """

    folder: Path
    rows: int
    to_scale: int
    kept: int
    removed: int
    jobs: int
    frames: int | None
    seconds: float | None
    disk_bytes: int | None
    disk_free: int
    source: str
    failed: dict[str, str] = field(default_factory=dict)
    depth: tuple[Forecast, ...] = ()
    said: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        depth = [one.to_json() for one in self.depth]
        return {**asdict(replace(self, depth=())), "folder": str(self.folder), "depth": depth}

    def lines(self) -> Iterator[str]:
        """The forecast to read."""
        for one in self.depth:
            yield from one.lines()
        yield (
            f"{self.folder}: {counted(self.rows, 'video')}, {self.to_scale} to scale, {self.kept} kept, "
            f"{len(self.failed)} that cannot be scaled, {self.removed} of rows that are no more."
        )
        if self.to_scale:
            yield f"  frames    {'unknown' if self.frames is None else f'about {self.frames}'}"
            known = "unknown" if self.seconds is None else f"about {duration(self.seconds)}"
            yield f"  time      {known}, {counted(self.jobs, 'video')} at once ({self.source})"
            taken = "unknown" if self.disk_bytes is None else f"about {size(self.disk_bytes)}"
            yield f"  disk      {taken} of {size(self.disk_free)} that are free"
        yield from (f"  note      {sentence}" for sentence in self.said)
        yield from (f"  fails     {name}: {reason}" for name, reason in self.failed.items())

    def require_all(self) -> None:
        """Raise ``WorkError`` where the command would end with rows that could not be scaled."""
        if self.failed:
            raise WorkError(
                f"{len(self.failed)} of {self.rows} videos could not be scaled.",
                "The reasons are above; the others would be scaled.",
            )


def forecast_scale(
    metadata: Path,
    folder: Path,
    settings: ScaleSettings,
    *,
    selection: Selection | None = None,
    root: Path | None = None,
    encoding: str | None = None,
    delete_existing: bool = False,
    keep_removed: bool = False,
    jobs: int = 1,
    autoencoder_device: str = "auto",
    maker: DepthMaker | None = None,
    reporter: Reporter | None = None,
) -> ScaleForecast:
    """What ``scale`` would do; raises what it would raise before the first video."""
    told, places = Noted(reporter or Silence()), Places(metadata, root)
    items, chosen = rows_asked_for(metadata, folder, selection or Selection(), encoding, told)
    jobs = max(1, min(jobs, len(chosen)))
    ledger = Ledger.seen(folder)
    if delete_existing:
        ledger.leave_out({item.name for item in chosen})
    require_same_kind(ledger, items, chosen, places, settings, maker)
    removed = len(gone_from(ledger, items))
    workplace = Workplace(folder, places, settings, threads_of(jobs), keep_count=False)
    todo = [item for item in chosen if workplace.needs_work(item, ledger.get(item.name))]
    outlook = Outlook([]) if maker is None else _depth(maker, todo, told)
    failed = {failure.video.name: failure.error.problem for failure in outlook.failures}
    made = set() if maker is None else {forecast.scene for forecast in outlook.forecasts}
    opened = []
    for number, item in enumerate(item for item in todo if item.name not in failed):
        try:
            if number < _MOST_OPENED:
                opened.append(_opened(workplace, item, maker, made))
            else:
                places.video(item.video_path)
        except VdaError as error:
            failed[item.name] = error.problem
    count = len(todo) - len(failed)
    whole = round(sum(len(scaling.timing) for scaling in opened) / len(opened) * count) if opened else None
    tried = _tried(opened, autoencoder_device)
    return ScaleForecast(
        folder,
        len(chosen),
        count,
        len(chosen) - len(todo),
        0 if keep_removed else removed,
        jobs,
        whole,
        None if tried is None or whole is None else tried.seconds * whole / jobs,
        None if tried is None or whole is None else round(tried.file_bytes * whole * _MARGIN),
        disk_free_bytes(folder),
        "nothing could be tried" if tried is None else tried.source,
        failed,
        tuple(outlook.forecasts),
        tuple(told.said),
    )


def _depth(maker: DepthMaker, items: Sequence[Item], reporter: Reporter) -> Outlook:
    """What is computed first, for rows that have no depth yet; a film that cannot be used fails its row alone."""
    forecasts: list[Forecast] = []
    failures = []
    signal = maker.signal
    plan = PlanSettings(deinterlace=signal.deinterlace, color=signal.color)
    for item in items:
        place = maker.place_of(item)
        if Scene(place).depth_record_path.is_file():
            continue
        try:
            video = maker.places.video(item.video_path)
            made = forecast_depth([video], [place], maker.settings, MergeSettings(), plan, reporter=reporter)
            forecasts += made.forecasts
        except StorageError:
            raise
        except VdaError as error:
            failures.append(Failure(Path(item.name), error))
    return Outlook(forecasts, failures)


def _opened(workplace: Workplace, item: Item, maker: DepthMaker | None, made: set[Path]) -> Scaling:
    """The row's files, with its depth where that is there; depth to be made is no fault of the row."""
    settings, scene = workplace.settings, None
    if settings.wants_depth:
        scene = scene_of(item, workplace.places) if maker is None else Scene(maker.place_of(item))
    if scene is not None and scene.root in made:
        scene = None
    return Scaling.of(item, workplace.source(item, scene), settings, workplace.threads)


@dataclass(frozen=True)
class _Trial:
    """What a frame takes: seconds of one process, and bytes; of ``frames`` frames of ``videos`` videos."""

    seconds: float
    file_bytes: float
    frames: int
    videos: int

    @property
    def source(self) -> str:
        return f"by {counted(self.frames, 'frame')} of {counted(self.videos, 'video')} scaled just now"


def _tried(opened: Sequence[Scaling], autoencoder_device: str) -> _Trial | None:
    """Scale the first frames of some videos as all are, in a temporary folder; None where none could be.

    An autoencoder of the hub is not fetched for it.
    """
    name, through = (opened[0].settings.autoencoder if opened else None), None
    if name is not None:
        if not Path(name).is_dir():
            return None
        through = load_autoencoder(name, autoencoder_device)
    seconds = file_bytes = 0.0
    frames = videos = weights = 0
    for scaling in opened[:: -(-len(opened) // _TRIED_VIDEOS) or 1]:
        short = _shortened(scaling)
        with TemporaryDirectory(prefix="vda-") as temporary:
            began = time.perf_counter()
            try:
                short.write(
                    Path(temporary), next(rungs(short.settings.method, short.settings.chunk_size)), through
                )
            except VdaError:
                # What is wrong with the one video is told in its turn, by whoever scales it.
                continue
            # What was tried stands for all frames of its video.
            share = len(scaling.timing) / len(short.timing)
            seconds += share * (time.perf_counter() - began)
            file_bytes += share * sum(path.stat().st_size for path in Path(temporary).rglob("*") if path.is_file())
        frames, videos, weights = frames + len(short.timing), videos + 1, weights + len(scaling.timing)
    return _Trial(seconds / weights, file_bytes / weights, frames, videos) if weights else None


def _shortened(scaling: Scaling) -> Scaling:
    most = min(scaling.settings.rate.most or _TRIED_FRAMES, _TRIED_FRAMES)
    settings = replace(scaling.settings, rate=replace(scaling.settings.rate, most=most))
    return Scaling.of(scaling.item, scaling.source, settings, scaling.threads)
