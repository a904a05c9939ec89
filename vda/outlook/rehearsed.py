"""A scene as a start would find or make it, kept in memory: whatever would be written to it is not.

In: a scene's folder, perhaps a plan that was only drafted, and whether all is to begin anew. Out: a ``Scene`` that
the same functions look at as at any other. This file does not know what is asked of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vda.merging.workplace import is_settled, settle
from vda.picture.overlay import Overlay
from vda.scene.chunks import Plan
from vda.scene.picturechoice import PictureChoice
from vda.scene.scene import RunRecord, Scene, WindowId
from vda.video import FrameIndex, VideoInfo


@dataclass(frozen=True, eq=False)
class Drafted:
    """A plan that is not written yet, and the video that it is of."""

    video: VideoInfo
    index: FrameIndex
    plan: Plan
    picture: PictureChoice
    overlay: Overlay | None = None


@dataclass(frozen=True)
class Rehearsed(Scene):
    """``drafted`` is its plan where that is not on the disk; ``anew``: what was computed counts as thrown away.

    ``merged`` is where merged depth is looked for, if not where it is.
    """

    anew: bool = False
    drafted: Drafted | None = field(default=None, compare=False)
    merged: Path | None = field(default=None, compare=False)
    _fixed: list[RunRecord] = field(default_factory=list, init=False, compare=False, repr=False)
    _damaged: set[WindowId] = field(default_factory=set, init=False, compare=False, repr=False)

    @property
    def there(self) -> Scene:
        """The scene as it is on the disk."""
        return Scene(self.root)

    @property
    def merged_dir(self) -> Path:
        # Of a scene that begins anew no depth is there: nothing makes a folder of this name.
        return super().merged_dir / ".anew" if self.anew else self.merged or super().merged_dir

    def is_planned(self) -> bool:
        return self.drafted is not None or super().is_planned()

    def planned(self) -> Plan:
        return super().planned() if self.drafted is None else self.drafted.plan

    def picture(self) -> PictureChoice:
        return super().picture() if self.drafted is None else self.drafted.picture

    def video(self) -> VideoInfo:
        return super().video() if self.drafted is None else self.drafted.video

    def read_video(self) -> dict[str, Any]:
        return super().read_video() if self.drafted is None else self.drafted.video.to_json()

    def frame_index(self) -> FrameIndex:
        return super().frame_index() if self.drafted is None else self.drafted.index

    def _overlay(self, choice: PictureChoice) -> Overlay:
        known = None if self.drafted is None else self.drafted.overlay
        return super()._overlay(choice) if known is None else known

    def finished_windows(self) -> set[WindowId]:
        return set() if self.anew else super().finished_windows() - self._damaged

    def leave_out(self, damaged: WindowId) -> None:
        """Count a window as missing: a start would put it aside."""
        self._damaged.add(damaged)

    def redone_chunks(self) -> list[int]:
        return [] if self.anew else super().redone_chunks()

    def run_record(self) -> RunRecord | None:
        if self._fixed:
            return self._fixed[-1]
        return None if self.anew else super().run_record()

    def write_run(self, record: RunRecord) -> None:
        self.require_same_run(record)
        self._fixed.append(record)


@contextmanager
def settled(folder: Path) -> Iterator[Path | None]:
    """Where the depth of ``folder`` can be looked at as the next merge finds it; None: where it is.

    An interrupted merge may have left files that the next one brings to their places first. That is done with
    links to them, in a temporary folder.
    """
    if is_settled(folder):
        yield None
        return
    with TemporaryDirectory(prefix="vda-") as temporary:
        shown = Path(temporary) / folder.name
        for path in folder.rglob("*"):
            place = shown / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                place.symlink_to(path.absolute())
        settle(shown)
        yield shown
