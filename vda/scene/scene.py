"""A scene: one video's work directory. Every path and every record of the state on disk is here.

    data/<scene>/
      scene.json                        the video: identity, size, rotation, rate, number of frames
      frame_index.npz                   the exact times of its frames
      vda_chunks/chunks_metadata.json   the plan; never changed after it is made
      shots.csv, shots.html             the shots, and pictures around the cuts, where shots were asked for
      vda_windows/run.json              what was asked and resolved: model, weights, input size, precision
      vda_windows/window_SSS_KKKKK.npz  raw window K of sequence S: the checkpoint
      vda_run/                          the run itself (``runstate``)
      vda_logs/                         supervisor.log, chunk_00.log, ...; events_*.jsonl (``events``);
                                        chunk_003.<task>.log of a cluster's tasks
      vda_merged_depth/                 depth_000000.png, ..., depth.json, depth_visualization.mp4

State is a function of the files: nothing is cached, so a restarted process is the same as a fresh one. This file
does not know how to decode, compute or merge.
"""

import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vda.errors import InputError, SceneError
from vda.files import DEPTH_RECORD_NAME, depth_image_name, read_json, write_bytes, write_json
from vda.records import FilePath, Side, is_count, is_nameable, read_record
from vda.scene.chunks import Chunk, Plan
from vda.scene.meant import remedy
from vda.scene.picturechoice import PictureChoice
from vda.scene.planfile import plan_metadata, read_plan
from vda.scene.runstate import RunFiles, device_slug
from vda.scene.windows import Window
from vda.shown import quoted

if TYPE_CHECKING:
    from vda.picture.framing import Framing
    from vda.picture.overlay import Overlay
    from vda.video import FrameIndex, VideoInfo

PLAN_NAME: Final = "chunks_metadata.json"
_PICTURE: Final = "picture"
_AGAIN: Final = (
    "Remove that file, and run 'vda split' with the video, the scene and the options of the first time: "
    "what was computed is kept."
)
# Of scene.json: the way from the scene to its video.
STAGED: Final = "VDA_STAGED_VIDEO"
"""The variable that names a copy of a video on this machine's own disk; of another video it says nothing."""
_WAY: Final = "path_from_scene"
_WINDOW_NAME = re.compile(r"window_(\d{3,})_(\d{5,})\.npz")

WindowId = tuple[int, int]
"""A sequence's index and a window's number in it."""


def chunk_windows(chunk: Chunk) -> list[tuple[WindowId, Window]]:
    """The windows of ``chunk`` with the names they have on disk, in the order of joining."""
    return [((chunk.sequence.index, window.k), window) for window in chunk.windows()]


@dataclass(frozen=True)
class DeviceProof:
    """What came of trying the device ``id``: ``precision.Proof`` as a record."""

    id: str
    device: str
    failed: dict[str, str] = field(default_factory=dict)
    figures: dict[str, dict[str, float | bool | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """What the whole scene is computed with; fixed before its first window, whatever devices it runs on.

    ``proofs`` are the devices' trials of half precision, with their figures; a precision that was asked for by
    name needs none.
    """

    model: str
    asked_model: str
    licence: str
    weights_sha256: str
    weights_path: FilePath
    weights_source: str
    metric: bool
    input_size: Side
    net_width: Side
    net_height: Side
    precision: str
    precision_reason: str
    version: str
    asked_precision: str = "auto"
    engine: str = "torch"
    proofs: tuple[DeviceProof, ...] = ()

    @property
    def network(self) -> tuple[str, str, str, str]:
        """What a loaded model depends on, whatever the size of the video."""
        return self.model, self.weights_sha256, self.precision, self.engine

    @property
    def computed_with(self) -> dict[str, Any]:
        """What other numbers would come of, if it were another."""
        names = ("model", "weights_sha256", "input_size", "net_width", "net_height", "precision", "engine")
        return {name: getattr(self, name) for name in names}

    def differences(self, other: "RunRecord") -> list[str]:
        """Say, in words, what of ``other`` would give other numbers than this."""
        theirs = other.computed_with
        return [
            f"{name.replace('_', ' ')} {value} became {theirs[name]}"
            for name, value in self.computed_with.items()
            if value != theirs[name]
        ]


@dataclass(frozen=True)
class Scene:
    """The directory ``root`` and what is in it."""

    root: Path

    @property
    def video_path(self) -> Path:
        return self.root / "scene.json"

    @property
    def index_path(self) -> Path:
        return self.root / "frame_index.npz"

    @property
    def plan_path(self) -> Path:
        return self.root / "vda_chunks" / PLAN_NAME

    @property
    def mask_path(self) -> Path:
        """What is covered by subtitles and logos: a copy, so that all who compute have the same."""
        return self.root / "vda_chunks" / "mask.png"

    @property
    def shots_path(self) -> Path:
        """The list of shots, to be looked at and changed."""
        return self.root / "shots.csv"

    @property
    def shots_page_path(self) -> Path:
        return self.root / "shots.html"

    @property
    def clips_dir(self) -> Path:
        return self.root / "vda_video_chunks"

    @property
    def windows_dir(self) -> Path:
        return self.root / "vda_windows"

    @property
    def run_path(self) -> Path:
        return self.windows_dir / "run.json"

    @property
    def redone_dir(self) -> Path:
        """Which chunks were computed again since the depth was merged, a file each: several are noted at once."""
        return self.windows_dir / "redone"

    @property
    def run_dir(self) -> Path:
        return self.root / "vda_run"

    @property
    def logs_dir(self) -> Path:
        return self.root / "vda_logs"

    @property
    def depths_dir(self) -> Path:
        return self.root / "vda_depth_final"

    @property
    def merged_dir(self) -> Path:
        return self.root / "vda_merged_depth"

    @property
    def depth_record_path(self) -> Path:
        return self.merged_dir / DEPTH_RECORD_NAME

    @property
    def calibration_path(self) -> Path:
        return self.root / "calibration.json"

    @property
    def report_path(self) -> Path:
        return self.root / "report.html"

    @property
    def report_record_path(self) -> Path:
        """What the report was made of, and its figures."""
        return self.root / "report.json"

    @property
    def detached_log_path(self) -> Path:
        """What a command prints that goes on without its terminal."""
        return self.root / "detached.log"

    @property
    def detached_lock_path(self) -> Path:
        return self.root / "detached.lock"

    def device_log_path(self, device: str) -> Path:
        return self.logs_dir / f"device_{device}.log"

    def task_log_path(self, chunk: int, task: str) -> Path:
        """What a task of a cluster, its supervisor and its workers say of a chunk: a file for each task."""
        return self.logs_dir / f"chunk_{chunk:03d}.{task}.log"

    def chunk_log_path(self, chunk: int, host: str = "") -> Path:
        """What happens in a chunk, in sentences; ``host``: on that machine, where others may have it as well."""
        return self.logs_dir / f"chunk_{chunk:02d}{host and '.'}{device_slug(host)}.log"

    def events_path(self, writer: str) -> Path:
        """Where the workers of one device on one host (``writer`` names both) note what happens."""
        return self.logs_dir / f"events_{writer}.jsonl"

    @property
    def damaged_windows_path(self) -> Path:
        """The windows that this machine found damaged and put aside, a JSON line each."""
        return self.logs_dir / f"damaged_windows_{device_slug(platform.node())}.jsonl"

    def event_paths(self) -> list[Path]:
        """The files of all that noted something, by name."""
        return sorted(self.logs_dir.glob("events_*.jsonl"))

    def depth_path(self, frame: int) -> Path:
        return self.merged_dir / depth_image_name(frame)

    def window_path(self, window: WindowId) -> Path:
        sequence, k = window
        return self.windows_dir / f"window_{sequence:03d}_{k:05d}.npz"

    def finished_windows(self) -> set[WindowId]:
        """The raw windows that are there: whole, for they appear by being renamed."""
        if not self.windows_dir.is_dir():
            return set()
        matches = (_WINDOW_NAME.fullmatch(path.name) for path in self.windows_dir.iterdir())
        return {(int(match[1]), int(match[2])) for match in matches if match}

    def missing_windows(self, chunk: Chunk) -> list[tuple[WindowId, Window]]:
        """The windows of ``chunk`` that are still to be computed, in order."""
        return [(key, window) for key, window in chunk_windows(chunk) if not self.window_path(key).is_file()]

    def unfinished_chunks(self, plan: Plan) -> dict[int, int]:
        """How many windows are still to be computed, by chunk; chunks that are finished are not in it."""
        finished = self.finished_windows()
        missing = {
            chunk.index: sum((chunk.sequence.index, window.k) not in finished for window in chunk.windows())
            for chunk in plan.chunks
        }
        return {chunk: count for chunk, count in missing.items() if count}

    @property
    def key(self) -> str:
        """The scene's one name among processes, however each was told the way to it."""
        return str(self.root.resolve())

    def discard_windows(self) -> None:
        """Remove the raw windows; ``run.json`` stays, for it says what the result was made with.

        Raises ``SceneError`` where a task computes a chunk, as all do that remove windows.
        """
        self.require_unclaimed()
        for window in self.finished_windows():
            self.window_path(window).unlink(missing_ok=True)

    def discard_chunk(self, chunk: int) -> None:
        """Remove the raw windows of one chunk; raise ``SceneError`` where a task computes one."""
        self.require_unclaimed()
        for window, _ in chunk_windows(self.plan().chunks[chunk]):
            self.window_path(window).unlink(missing_ok=True)

    def require_unclaimed(self) -> None:
        """Raise ``SceneError`` where a task of a cluster computes a chunk: what it finds done must stay."""
        RunFiles(self.run_dir).require_unclaimed()

    def note_redone(self, chunk: int) -> None:
        """Write down that the windows of ``chunk`` are not those of the merged depth any more."""
        if self.depth_record_path.is_file():
            write_bytes(self._redone_path(chunk), b"")

    def forget_redone(self, chunks: Iterable[int]) -> None:
        """Leave out ``chunks``: the merged depth is of what was computed again."""
        for chunk in chunks:
            self._redone_path(chunk).unlink(missing_ok=True)

    def redone_chunks(self) -> list[int]:
        """The chunks that were computed again since the depth was merged."""
        names = (path.name.removeprefix("chunk_") for path in self.redone_dir.glob("chunk_*"))
        return sorted(int(name) for name in names if is_count(name))

    def _redone_path(self, chunk: int) -> Path:
        return self.redone_dir / f"chunk_{chunk:03d}"

    def require(self) -> "Scene":
        """Return self, or raise ``SceneError`` where there is no planned scene."""
        if not self.is_planned():
            what = f"{self.root} is not a scene: it has no plan."
            if self.video_path.is_file():
                raise SceneError(
                    what, "Its planning did not come to an end: give the command again that began it."
                )
            raise SceneError(what, remedy(self.root, lambda root: Scene(root).is_planned()))
        return self

    def is_planned(self) -> bool:
        return self.video_path.is_file() and self.plan_path.is_file()

    def require_merged(self) -> Path:
        """Return the folder of merged depth; raise ``InputError`` where there is none, ``SceneError`` as above."""
        if not self.depth_record_path.is_file():
            self.require()
            raise InputError(f"{self.root} has no merged depth.", f"Run 'vda merge {quoted(self.root)}' first.")
        return self.merged_dir

    def write_video(self, video: "VideoInfo") -> None:
        """Write down what ``video`` is and where: its path, and the way to it from here, should both move."""
        path = video.path.absolute()
        way = os.path.relpath(path.resolve(), self.root.resolve())
        write_json(self.video_path, {**video.to_json(), "path": str(path), _WAY: way})

    def film(self) -> tuple["VideoInfo", "FrameIndex"]:
        """The video and its exact frames, as they were when the scene was split; the file need not be there."""
        return self.video(), self.frame_index()

    def frame_index(self) -> "FrameIndex":
        from vda.video import FrameIndex

        return FrameIndex.load(self.index_path)

    def video(self) -> "VideoInfo":
        """The video as it was when the scene was split, and where it is now.

        Where its old path leads to no such file, and the way from the scene does, both have moved. A copy of it on
        this machine's own disk is read in its place (``STAGED``).
        """
        from vda.video import is_same

        record, info = self._video_record()
        if (staged := os.environ.get(STAGED)) and is_same(info, Path(staged)):
            return replace(info, path=Path(staged))
        way = record.get(_WAY)
        moved = self.root.resolve() / way if isinstance(way, str) and is_nameable(way) else None
        if moved is None or is_same(info, info.path) or not is_same(info, moved):
            return info
        return replace(info, path=Path(os.path.normpath(moved)))

    def require_video(self) -> "VideoInfo":
        """As ``video``; raise ``VideoError`` where the file is gone, or is not the one that was split."""
        from vda.video import require_same

        info = self.video()
        require_same(info)
        return info

    def relink(self, video: Path) -> Path:
        """Take the pictures from ``video`` from now on, and return its path.

        Raises ``VideoError`` where it is not the video that was split.
        """
        from vda.video import require_same

        moved = replace(self.video(), path=video.absolute())
        require_same(moved)
        facts = self.plan_facts()
        facts["video_info"]["input_path"] = str(moved.path)
        write_json(self.plan_path, facts)
        self.write_video(moved)
        return moved.path

    def read_video(self) -> dict[str, Any]:
        """The record of the video, as ``video.VideoInfo`` wrote it."""
        return self.require()._video_record()[0]

    def _video_record(self) -> tuple[dict[str, Any], "VideoInfo"]:
        from vda.records import ShapeError
        from vda.video import VideoInfo

        if not self.video_path.is_file():
            self.require()
        record = read_json(self.video_path, strict=True, remedy=_AGAIN)
        try:
            return record, VideoInfo.from_json(record)
        except ShapeError as error:
            raise InputError(f"{self.video_path} is damaged, or no record of a video: {error}.", _AGAIN) from error

    def write_plan(
        self,
        plan: Plan,
        video: dict[str, Any],
        devices: tuple[str, ...] = (),
        picture: PictureChoice | None = None,
    ) -> None:
        chosen = {} if picture is None or picture.is_whole else {_PICTURE: picture.to_json()}
        write_json(self.plan_path, {**plan_metadata(plan, video, devices), **chosen})

    def plan(self) -> Plan:
        return self.require().planned()

    def planned(self) -> Plan:
        """The plan, whatever of the scene's other records is left."""
        facts = self.plan_facts()
        with self._plan_named():
            return read_plan(facts)

    @contextmanager
    def _plan_named(self) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            raise InputError(f"{self.plan_path} is damaged. {error.problem}", _AGAIN) from error

    def plan_facts(self) -> dict[str, Any]:
        """The record of the plan, as ``write_plan`` left it."""
        return read_record(self.plan_path, dict[str, Any], _AGAIN)

    def picture(self) -> PictureChoice:
        """Which part of the video's pictures is computed."""
        video = self.read_video()
        return self.picture_of((int(video["width"]), int(video["height"])))

    def picture_of(self, size: tuple[int, int]) -> PictureChoice:
        """Which part of pictures of ``size`` (width, height) the plan has computed."""
        metadata = self.plan_facts()
        if _PICTURE not in metadata:
            return PictureChoice(size)
        with self._plan_named():
            return PictureChoice.from_json(size, metadata[_PICTURE], len(read_plan(metadata).shots))

    def framings(self, shots: Iterable[int]) -> dict[int, "Framing"]:
        """What the network sees of the pictures of each of ``shots``; shots of one crop share their framing.

        Raises ``SceneError`` where the mask is not what it was.
        """
        choice = self.picture()
        overlay = None if choice.mask_sha256 is None else self._overlay(choice)
        boxes = {shot: choice.box(shot) for shot in shots}
        # A film has thousands of shots and few crops, and a mask is as large as a picture.
        one_of = {box: shot for shot, box in boxes.items()}
        made = {box: choice.framing(shot, overlay) for box, shot in one_of.items()}
        return {shot: made[box] for shot, box in boxes.items()}

    def _overlay(self, choice: PictureChoice) -> "Overlay":
        from vda.picture.overlay import overlay_sha256, read_overlay

        overlay = read_overlay(self.mask_path, choice.video)
        if overlay_sha256(overlay) != choice.mask_sha256:
            raise SceneError(
                f"The mask {self.mask_path} is not the one that the scene was planned with.",
                "Put it back, or give --mask and --restart to start over with another one.",
            )
        return overlay

    def write_run(self, record: RunRecord) -> None:
        """Fix what the scene is computed with; raise ``SceneError`` if windows of something else are there."""
        existing = self.require_same_run(record)
        # Devices that join later add their proofs; all else stays as it was written first.
        if existing is None or len(record.proofs) > len(existing.proofs):
            kept = record if existing is None else replace(existing, proofs=record.proofs)
            write_json(self.run_path, asdict(kept))

    def require_same_run(self, record: RunRecord) -> RunRecord | None:
        """What the scene was begun with, if it was; ``SceneError`` where ``record`` is of something else."""
        existing = self.run_record()
        if existing is not None and (differences := existing.differences(record)):
            raise SceneError(
                f"{self.root} was begun with other settings: {'; '.join(differences)}.",
                "Leave those options out to continue it, or give --restart to throw away what was computed.",
            )
        return existing

    def run_record(self) -> RunRecord | None:
        """What the scene is computed with; None before its first run."""
        if not self.run_path.is_file():
            return None
        return read_record(
            self.run_path,
            RunRecord,
            "Remove that file and give the options of the first time again: what was computed is kept.",
        )

    def discard_computed(self) -> None:
        """Remove raw windows, the run's state and what was merged from them; the plan stays.

        So do what a person set for a cluster, and which jobs were submitted, for these may have to be ended.
        """
        self.require_unclaimed()
        for folder in (self.windows_dir, self.logs_dir, self.merged_dir):
            shutil.rmtree(folder, ignore_errors=True)
        # A lock lives as long as its file; whoever holds the scene while it starts over keeps holding it.
        files = RunFiles(self.run_dir)
        for path in self.run_dir.iterdir() if self.run_dir.is_dir() else ():
            if path == files.cluster_dir:
                for folder in filter(Path.is_dir, path.iterdir()):
                    if folder != files.submitted_dir:
                        shutil.rmtree(folder, ignore_errors=True)
            elif path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix != ".lock":
                path.unlink(missing_ok=True)
