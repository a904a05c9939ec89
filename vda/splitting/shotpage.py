"""A page with pictures around each cut, to see whether it is one: one file with everything in it.

In: a video and the frames that begin shots. Out: the page. This file does not know how cuts were found.
"""

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from vda.files import write_bytes
from vda.picture.upright import with_square_pixels
from vda.reporter import Reporter
from vda.video import Frame, FrameIndex, VideoInfo, read_frame_list

# Two of each shot: more is seen in the film itself.
_ON_EACH_SIDE = 2
_WIDTH = 240
# At some 10 kB a picture, a page that a browser still shows at once.
_MOST_CUTS = 1000

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 68rem; padding: 1rem; }
section { display: grid; grid-template-columns: repeat(4, 1fr); gap: .25rem; margin: 1.5rem 0; }
section h2 { grid-column: 1 / -1; font-size: 1rem; margin: 0; }
figure { margin: 0; } img { width: 100%; display: block; } figcaption { font-size: .85rem; }
figure.first { border-left: .4rem solid #d33; padding-left: .25rem; }
"""


def write_shot_page(
    path: Path, info: VideoInfo, index: FrameIndex, cuts: Sequence[int], listed: Path, reporter: Reporter
) -> None:
    """Write the page of ``cuts`` (frames that begin a shot); ``listed`` is the file that lists them."""
    shown = cuts[:_MOST_CUTS]
    places = zip(shown, index.places_of(shown), strict=True)
    around = {cut: index.frames[max(at - _ON_EACH_SIDE, 0) : at + _ON_EACH_SIDE] for cut, at in places}
    wanted = sorted({frame for frames in around.values() for frame in frames})
    reporter.begin("drawing the cuts", len(around))
    parts = _sections(info, around, read_frame_list(info, index, wanted), reporter)
    more = f" The first {len(shown)} of them are shown." if len(shown) < len(cuts) else ""
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Cuts</title>'
        f"<style>{_STYLE}</style></head><body><h1>{len(cuts)} cuts</h1>"
        f"<p>A red bar stands before the first frame of each shot.{more} To change them, edit "
        f"<code>{html.escape(listed.name)}</code> and give it with <code>--shots FILE --restart</code>.</p>"
        f"{''.join(parts)}</body></html>\n"
    )
    write_bytes(path, page.encode())


def _sections(
    info: VideoInfo, around: Mapping[int, Sequence[int]], frames: Iterator[Frame], reporter: Reporter
) -> Iterator[str]:
    pictures: dict[int, str] = {}
    for done, (cut, wanted) in enumerate(around.items(), start=1):
        while wanted[-1] not in pictures:
            frame = next(frames)
            pictures[frame.index] = _figure(info, frame)
        first = pictures[cut].replace("<figure>", '<figure class="first">')
        row = "".join(first if one == cut else pictures[one] for one in wanted)
        yield f"<section><h2>Cut {done}: frame {cut}</h2>{row}</section>"
        # The next cut may be a frame behind this one, and shows some of the same pictures.
        pictures = {one: text for one, text in pictures.items() if one >= wanted[0]}
        reporter.at(done)


def _figure(info: VideoInfo, frame: Frame) -> str:
    picture = with_square_pixels(frame.rgb, info.pixel_aspect)
    height, width = picture.shape[:2]
    size = min(_WIDTH, width), max(round(height * min(_WIDTH, width) / width), 1)
    small = np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[..., ::-1])
    data = base64.b64encode(cv2.imencode(".jpg", small)[1].tobytes()).decode()
    image = f'<img alt="" src="data:image/jpeg;base64,{data}">'
    return f"<figure>{image}<figcaption>{frame.index} at {frame.time_s:.3f} s</figcaption></figure>"
