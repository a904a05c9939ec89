"""The report of a scene, made again only where something that it shows is not what it was.

In: a merged scene, and what the page is to have. Out: ``report.html``, and beside it ``report.json``: the page's
figures, its checksum, and the identity of everything that it was made of. What is on disk no more (raw windows,
logs, the video) is held against no page: that page knows more than a new one could. This file does not know what
a report shows.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from vda import __version__
from vda.errors import InputError, VdaError
from vda.files import TEMPORARY_PREFIX, sha256_file, write_json
from vda.records import read_record
from vda.reporter import Noted, Reporter, Silence
from vda.scene.scene import Scene

_ABSENT: Final = ""
# Removed once they have served, or kept elsewhere.
_MAY_GO: Final = ("windows", "chunks", "events", "video")
_REMEDY: Final = "Remove it: 'vda report' makes it again."


@dataclass(frozen=True)
class SceneReport:
    """``report.html`` as it lies there: its figures as ``vda report --json`` has them, its verdict in words.

    ``level`` is the name of the verdict's ``Level``; ``all_seams``: it looked at all seams there are; ``made_of``
    are the identities of what it shows, by name, and ``page_sha256`` is that of the page itself.
    """

    figures: dict[str, Any]
    verdict: str
    level: str
    all_seams: bool
    made_of: dict[str, str]
    page_sha256: str


def report_scene(
    scene: Scene, reporter: Reporter | None = None, *, all_seams: bool = False, with_paths: bool = False
) -> SceneReport:
    """Return the report of a merged scene, made unless the one that is there shows what a new one would.

    ``all_seams`` of a long film take long: without, some of them are looked at, and a page that looked at all will
    do. ``with_paths`` lets it name folders of this machine. Raises ``SceneError`` or ``InputError`` where there is
    no merged depth.
    """
    reporter = reporter or Silence()
    scene.require_merged()
    # Looked at before the page is made: what changes meanwhile is seen to have changed the next time.
    made_of = _made_of(scene, with_paths)
    if (kept := _kept(scene, made_of, all_seams)) is not None:
        reporter.say(f"Nothing that {scene.report_path} shows has changed: it stays.")
        return kept
    return _made(scene, made_of, all_seams, with_paths, reporter)


def _made(
    scene: Scene, made_of: dict[str, str], all_seams: bool, with_paths: bool, reporter: Reporter
) -> SceneReport:
    from vda.depthmaps.codes import DepthRecord
    from vda.evaluation.quality import measure_quality
    from vda.evaluation.report import write_report
    from vda.evaluation.seams import MOST_SEAMS
    from vda.evaluation.verdict import judge

    noted = Noted(reporter)
    quality = measure_quality(scene, most_seams=None if all_seams else MOST_SEAMS, reporter=noted)
    page = write_report(scene, noted, quality, with_paths=with_paths)
    verdict = judge(quality, DepthRecord.read(scene.depth_record_path))
    report = SceneReport(
        quality.to_json(),
        verdict.words,
        verdict.level.name,
        all_seams or quality.seam_count <= MOST_SEAMS,
        made_of,
        sha256_file(page),
    )
    if noted.said:
        # Something was left out for a reason that may pass: the next time it is tried again.
        scene.report_record_path.unlink(missing_ok=True)
    else:
        write_json(scene.report_record_path, asdict(report))
    return report


def _kept(scene: Scene, made_of: dict[str, str], all_seams: bool) -> SceneReport | None:
    """The report that is there, if it may stay."""
    if not (scene.report_record_path.is_file() and scene.report_path.is_file()):
        return None
    try:
        report = read_record(scene.report_record_path, SceneReport, _REMEDY)
    except InputError:
        return None
    if all_seams and not report.all_seams:
        return None
    went = [name for name in _MAY_GO if made_of[name] == _ABSENT]
    same = {**made_of, **{name: report.made_of.get(name, _ABSENT) for name in went}} == report.made_of
    return report if same and sha256_file(scene.report_path) == report.page_sha256 else None


def _made_of(scene: Scene, with_paths: bool) -> dict[str, str]:
    """What a page shows, by name: content of records; name, size and time of what is too large to be read."""
    return {
        "program": __version__,
        "name": scene.root.resolve().name,
        "paths": str(scene.root.resolve()) if with_paths else _ABSENT,
        "film": _content(scene.video_path),
        "plan": _content(scene.plan_path),
        "mask": _content(scene.mask_path),
        "run": _content(scene.run_path),
        "frames": _stamps(scene, [scene.index_path]),
        "shots": str(scene.shots_path.is_file()),
        "depth": _stamps(scene, scene.merged_dir.rglob("*")),
        "windows": _stamps(scene, map(scene.window_path, scene.finished_windows())),
        "chunks": _stamps(scene, scene.depths_dir.rglob("*")),
        "events": _stamps(scene, scene.event_paths()),
        "video": _of_video(scene),
    }


def _content(path: Path) -> str:
    return sha256_file(path) if path.is_file() else _ABSENT


def _of_video(scene: Scene) -> str:
    """Whether the pictures can be shown; which they are says the film's record."""
    try:
        scene.require_video()
    except VdaError:
        return _ABSENT
    return "there"


def _stamps(scene: Scene, paths: Iterable[Path]) -> str:
    """One identity of all files of ``paths``: names, sizes and times of change; empty where there is none."""
    lines = []
    for path in paths:
        if path.name.startswith(TEMPORARY_PREFIX) or not path.is_file():
            continue
        found = path.stat()
        lines.append(f"{path.relative_to(scene.root)} {found.st_size} {found.st_mtime_ns}")
    text = "\n".join(sorted(lines))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest() if lines else _ABSENT
