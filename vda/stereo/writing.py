"""The two views of a film as videos.

In: the film's pictures and the codes of its depth, in order. Out: both views of each, made by a pool of threads
and written in order, to every video that is wanted. This file does not know how a view is made.
"""

import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from vda.depthmaps.codes import Codes
from vda.picture.framing import Framing
from vda.stereo.disparity import Disparities
from vda.stereo.packing import Rgb, packed
from vda.stereo.pair import both_views
from vda.stereo.style import StereoStyle
from vda.video import ClipWriter

# Some 200 MB each at 4K: more would not make the encoder behind them faster.
_MOST_WORKERS = 8


class StereoWriter:
    """Write both views of each frame to ``clips``, open videos by their form; a context manager, to be left before
    the clips are.

    ``pictures`` yields the film's frames, uint8 RGB [height, width, 3], in the order in which codes are written.
    """

    def __init__(
        self,
        clips: Mapping[str, ClipWriter],
        pictures: Iterator[Rgb],
        disparities: Disparities,
        style: StereoStyle,
    ) -> None:
        self._clips = clips
        self._pictures = pictures
        self._disparities = disparities
        self._style = style
        self._workers = min(os.cpu_count() or 1, _MOST_WORKERS)
        self._ahead: deque[tuple[Future[dict[str, Rgb]], int | None]] = deque()

    def __enter__(self) -> "StereoWriter":
        self._pool = ThreadPoolExecutor(self._workers, "stereo")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._ahead:
                self._put_first()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def write(self, codes: Codes | None, framing: Framing, pts: int | None) -> None:
        """Append the next picture with its depth (None: it has none, and is flat), to be shown at ``pts``.

        ``framing`` says which part of it has depth.
        """
        self._ahead.append((self._pool.submit(self._make, next(self._pictures), codes, framing), pts))
        if len(self._ahead) > self._workers:
            self._put_first()

    def _make(self, picture: Rgb, codes: Codes | None, framing: Framing) -> dict[str, Rgb]:
        left = right = picture
        if codes is not None:
            left, right = both_views(picture, codes, framing, self._disparities, self._style)
        return {form: packed(form, left, right) for form in self._clips}

    def _put_first(self) -> None:
        made, pts = self._ahead.popleft()
        for form, picture in made.result().items():
            self._clips[form].write(picture, pts)
