"""What ``depth``, ``run`` and ``merge`` would do: their start up to the first write, and a forecast of the rest.

In: what the three are given. Out: an ``Outlook``, or the error that the start would end with. The steps are those
of ``pipeline`` and ``todepth``, by the same functions and in the same order; in place of taking locks, fetching
weights and trying devices there is a look at each. Nothing is written, but for temporary files that are gone at
the end.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vda.api.engines import ENGINES, devices_of, require_no_jobs, require_ready, untried
from vda.api.films import Failure, require_none
from vda.api.pipeline import (
    crew_of,
    find_devices,
    require_startable,
    set_apart,
)
from vda.api.todepth import needs_no_windows, require_mergeable, require_wanted
from vda.depthmaps.codes import DepthRecord
from vda.errors import InputError, VdaError
from vda.machine.devices import Device
from vda.machine.shortage import COMPUTING_BYTES, require_memory
from vda.merging.settings import MergeResult, MergeSettings
from vda.merging.stage import MergeAsked, look
from vda.models.weights import announced
from vda.outlook.forecast import Forecast
from vda.outlook.forecaster import Forecaster
from vda.outlook.rehearsed import Drafted, Rehearsed, settled
from vda.reporter import Noted, Reporter, Silence
from vda.scene.scene import RunRecord, Scene
from vda.scene.windowstore import WindowStore
from vda.shown import counted
from vda.splitting.draft import draft_plan
from vda.splitting.settings import PlanSettings
from vda.supervisor import require_disk, require_free, require_unsupervised
from vda.supervisor.resolve import Resolver, RunSettings
from vda.video import notes_of

if TYPE_CHECKING:
    from vda.compute.precision import Proof

_ANY_PLAN = PlanSettings()
_ANY_MERGE = MergeSettings()


@dataclass(frozen=True)
class Outlook:
    """The forecasts of a command, a film each; ``failures`` are the films that it would leave out.

    ``said`` is what the start would say that is of no film alone.
    """

    forecasts: list[Forecast]
    failures: list[Failure] = field(default_factory=list)
    said: tuple[str, ...] = ()

    def require_all(self) -> None:
        """Raise what the command would end with where some films are left out."""
        require_none({failure.video: failure.error for failure in self.failures}, len(self.forecasts), "videos")

    def to_json(self) -> dict[str, Any]:
        failed = {"failed": [failure.to_json() for failure in self.failures]} if self.failures else {}
        return {"forecasts": [one.to_json() for one in self.forecasts], "said": list(self.said), **failed}


class _Keeping(Noted):
    """Tells of stages, and keeps the sentences for the forecast."""

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


@dataclass
class _Film:
    """A scene in rehearsal: what was said of it, and what of it stays or goes."""

    scene: Rehearsed
    told: _Keeping
    keeps: list[str] = field(default_factory=list)
    replaces: list[str] = field(default_factory=list)


def forecast_depth(
    videos: list[Path],
    roots: list[Path],
    running: RunSettings,
    merging: MergeSettings,
    planning: PlanSettings = _ANY_PLAN,
    *,
    discard_windows: bool = False,
    reporter: Reporter | None = None,
) -> Outlook:
    """What ``todepth.depth`` would do; raises what it would raise before it computes anything."""
    reporter, several = reporter or Silence(), len(videos) > 1
    devices = require_wanted(videos, roots, running, merging, planning, announced)
    bad: dict[Path, VdaError] = {}
    films: dict[Path, _Film] = {}
    with ExitStack() as views:
        for video, root in zip(videos, roots, strict=True):
            with set_apart(video, bad if several else None):
                if running.restart:
                    require_no_jobs(Scene(root))
                    require_free(Scene(root))
                film = _planned(video, root, planning, running.restart, devices, len(videos), reporter, views)
                require_mergeable(film.scene, merging)
                films[video] = film
        apart: dict[Scene, VdaError] | None = {} if several else None
        todo = []
        for film in films.values():
            with set_apart(film.scene, apart):
                if running.restart or not needs_no_windows(film.scene, running):
                    todo.append(film)
        ready = _Ready.of(todo, running, reporter, apart, discards=discard_windows, merging=merging)
        wanted = replace(merging, keep_finished=True)
        forecasts = []
        for video, film in films.items():
            failed = (apart or {}).get(film.scene)
            with set_apart(video, bad if several else None, (VdaError,)):
                if failed is not None:
                    raise failed
                forecasts.append(ready.forecast(film, wanted, computes=film in todo))
    return Outlook(forecasts, [Failure(video, bad[video]) for video in videos if video in bad], ready.said)


def forecast_run(scenes: list[Scene], running: RunSettings, *, reporter: Reporter | None = None) -> Outlook:
    """What ``pipeline.run`` would do with planned scenes; of several, those that cannot be begun are failures."""
    films = [_film(Rehearsed(scene.root, anew=running.restart), reporter or Silence()) for scene in scenes]
    apart: dict[Scene, VdaError] | None = {} if len(scenes) > 1 else None
    ready = _Ready.of(films, running, reporter or Silence(), apart, check=True)
    left = [film for film in films if film.scene not in (apart or {})]
    forecasts = [ready.forecast(film, None, computes=True) for film in left]
    failures = [Failure(scene.root, error) for scene, error in (apart or {}).items()]
    return Outlook(forecasts, failures, ready.said)


def forecast_merge(scene: Scene, settings: MergeSettings, *, reporter: Reporter | None = None) -> Outlook:
    """What ``pipeline.merge_scene`` would do; raises what it would raise before it reads the depth."""
    with settled(scene.merged_dir) as merged:
        film = _film(Rehearsed(scene.root, merged=merged), reporter or Silence())
        return Outlook([_Ready().forecast(film, settings, computes=False)])


def _planned(
    video: Path,
    root: Path,
    settings: PlanSettings,
    restart: bool,
    devices: tuple[Device, ...],
    scenes: int,
    reporter: Reporter,
    views: ExitStack,
) -> _Film:
    """The scene of ``video`` as planning would leave it."""
    told, scene = _Keeping(reporter), Scene(root)
    names = tuple(device.id for device in devices)
    draft = draft_plan(
        video,
        scene,
        settings,
        restart=restart,
        devices=names,
        scenes=scenes,
        keep_count=False,
        reporter=told,
    )
    told.said += notes_of(draft.info, draft.index)
    drafted = Drafted(draft.info, draft.index, draft.plan, draft.picture, draft.overlay)
    merged = views.enter_context(settled(scene.merged_dir))
    film = _film(Rehearsed(root, anew=restart, drafted=drafted, merged=merged), told)
    if draft.is_there:
        film.keeps.append(f"the plan in {scene.plan_path}")
    return film


def _film(scene: Rehearsed, reporter: Reporter) -> _Film:
    """``scene`` with what of it is there: kept, or thrown away where it begins anew."""
    film = _Film(scene, reporter if isinstance(reporter, _Keeping) else _Keeping(reporter))
    windows = len(scene.there.finished_windows())
    there = [f"{counted(windows, 'raw window')} in {scene.windows_dir}"] if windows else []
    if scene.anew:
        merged = scene.there.depth_record_path.is_file()
        film.replaces += [*there, *([f"the depth in {scene.there.merged_dir}"] if merged else [])]
    else:
        film.keeps += there
    return film


@dataclass
class _Ready:
    """The start of a run, rehearsed, and what makes forecasts of its scenes."""

    forecaster: Forecaster = field(default_factory=Forecaster)
    said: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        films: Sequence[_Film],
        settings: RunSettings,
        reporter: Reporter,
        apart: dict[Scene, VdaError] | None,
        *,
        check: bool = False,
        discards: bool = False,
        merging: MergeSettings = _ANY_MERGE,
    ) -> "_Ready":
        """Go through the start of ``pipeline.run`` with the scenes of ``films``, up to its first worker."""
        if not films:
            return cls()
        require_memory(*COMPUTING_BYTES)
        told = _Keeping(reporter)
        handed = settings.on in ENGINES
        devices = devices_of(settings) if handed else find_devices(settings.devices, told).devices
        for film in films:
            with set_apart(film.scene, apart):
                if handed:
                    require_ready(film.scene, settings)
                require_startable(film.scene)
                if settings.restart:
                    require_no_jobs(film.scene)
                (require_unsupervised if handed else require_free)(film.scene)
        crew = crew_of(films[0].scene, settings, devices)
        resolver = Resolver(settings, devices, crew, told, announced, untried if handed else _untried)
        for film in _left(films, apart):
            with set_apart(film.scene, apart):
                resolver.reporter = film.told
                resolver.fix(film.scene)
                if check:
                    _leave_out_damaged(film)
        left = [film.scene for film in _left(films, apart)]
        if left:
            require_disk(left, merging, len(devices) + 1 if discards else None)
        return cls(Forecaster(devices, crew.threads, resolver), tuple(told.said))

    def forecast(self, film: _Film, merging: MergeSettings | None, *, computes: bool) -> Forecast:
        """The forecast of one film; raises what its merge would."""
        asked = None
        if merging is not None:
            with _named(film.scene):
                asked = look(film.scene, merging, computed=not computes)
            _tell_of_depth(film, asked)
        settings = asked.request.settings if isinstance(asked, MergeAsked) else None
        return self.forecaster.of(
            film.scene, settings, computes=computes, keeps=film.keeps, replaces=film.replaces, said=film.told.said
        )


def _left(films: Sequence[_Film], apart: dict[Scene, VdaError] | None) -> list[_Film]:
    return [film for film in films if film.scene not in (apart or {})]


def _leave_out_damaged(film: _Film) -> None:
    record = film.scene.run_record()
    if film.scene.anew or record is None or not film.scene.finished_windows():
        return
    for key, problem in WindowStore.of(film.scene, record).damaged(film.told):
        film.scene.leave_out(key)
        film.told.say(f"{problem} It is put aside and computed again.")


def _tell_of_depth(film: _Film, asked: MergeAsked | MergeResult) -> None:
    folder = film.scene.there.merged_dir
    if isinstance(asked, MergeResult):
        film.keeps.append(f"the depth in {folder}")
        film.told.said += asked.remarks
        return
    film.told.said += asked.request.remarks
    if asked.request.existing is not None:
        film.keeps.append(f"the depth in {folder} ({', '.join(asked.request.existing.formats)})")
    if asked.request.replaces:
        film.replaces.append(f"the depth in {folder}{_formats_of(film.scene)}, once the new one is whole")


def _formats_of(scene: Rehearsed) -> str:
    try:
        return f" ({', '.join(DepthRecord.read(scene.depth_record_path).formats)})"
    except InputError:
        return ""


@contextmanager
def _named(scene: Rehearsed) -> Iterator[None]:
    """Errors about links to the depth name the depth."""
    try:
        yield
    except VdaError as error:
        if scene.merged is not None:
            shown, real = str(scene.merged), str(scene.there.merged_dir)
            error.problem, error.remedy = (said.replace(shown, real) for said in (error.problem, error.remedy))
        raise


def _untried(record: RunRecord, devices: Sequence[Device]) -> "dict[str, Proof]":
    """What is known of devices without trying them: each may pass what it is not refused for being what it is."""
    from vda.compute.precision import Proof, policy

    verdicts = {device.id: policy(device, record.model) for device in devices}
    return {name: Proof(verdict.device, verdict.refused) for name, verdict in verdicts.items()}
