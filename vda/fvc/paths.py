"""Where the files that a table names are: the one place that resolves paths.

In: what a row says. Out: a path that exists. This file does not know what is in the files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vda.errors import InputError
from vda.fvc.names import VIDEO_SUFFIXES


@dataclass(frozen=True)
class Places:
    """Where relative paths are looked for: beside the ``metadata``, then under ``root``."""

    metadata: Path
    root: Path | None = None

    def video(self, stated: str) -> Path:
        """The video a row names, or the same name with another video's ending, for conversions change it.

        Raises ``InputError`` naming what was looked for.
        """
        for path in self._candidates(stated):
            if path.exists():
                return path
        for path in self._candidates(stated):
            for suffix in VIDEO_SUFFIXES:
                if (other := path.with_name(path.stem + suffix)).is_file():
                    return other
        raise self._absent("video", stated)

    def other(self, kind: str, stated: str, *, may_be_absent: bool = False) -> Path:
        """The file or folder of another ``kind`` (a scene, tracks) that a row names.

        What ``may_be_absent`` is to be made beside the metadata; for all else ``InputError`` is raised.
        """
        for path in self._candidates(stated):
            if path.exists():
                return path
        if may_be_absent:
            return next(self._candidates(stated))
        raise self._absent(kind, stated)

    def _candidates(self, stated: str) -> Iterator[Path]:
        # Joined to an absolute path, a folder does not count.
        yield self.metadata.parent / stated
        if self.root is not None:
            yield self.root / stated

    def _absent(self, kind: str, stated: str) -> InputError:
        looked = " and ".join(str(path) for path in dict.fromkeys(self._candidates(stated)))
        return InputError(f"There is no {kind} {looked}.", "Correct the path in the metadata, or give --root.")
