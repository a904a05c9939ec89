"""Every kind of clip that the tests make, by name: containers, codecs, pixel formats, clocks, damage.

Each maker writes one file into a folder of its own; the pictures carry their numbers (``clips.number_in``).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import clips
import numpy as np
import stills

COUNT = 48
_TICKS = Fraction(1, 90000)
# MPEG-TS counts 90,000 to the second in 33 bits.
_WRAP = 2**33
_UNEVEN = np.cumsum(np.random.default_rng(5).integers(20, 60, COUNT)).tolist()
_OPEN = {"x264-params": "keyint=12:min-keyint=12:bframes=3:b-adapt=0:open-gop=1:scenecut=0"}
_REFRESH = {"x264-params": "keyint=15:intra-refresh=1:bframes=0"}


@dataclass(frozen=True)
class Kind:
    """``make`` writes the clip to the path that it is given; ``says`` is what has to be in the notes on it."""

    name: str
    make: Callable[[Path], Path]
    about: str
    says: str = ""


def _plain(name: str, about: str, **settings: Any) -> Kind:
    return Kind(name, lambda path: clips.make_clip(path, range(COUNT), **settings), about)


def _odd(name: str, about: str, says: str, **settings: Any) -> Kind:
    return replace(_plain(name, about, **settings), says=says)


def _from(source: str, change: Callable[[Path, Path], object], **settings: Any) -> Callable[[Path], Path]:
    """A clip that is made of another, which ends in ``source``."""

    def make(path: Path) -> Path:
        whole = clips.make_clip(path.with_name(f"whole{source}"), range(COUNT), **settings)
        change(whole, path)
        whole.unlink()
        return path

    return make


def _damaged(path: Path, place: int, **settings: Any) -> Path:
    clips.damage(clips.make_clip(path, range(COUNT), **settings), place)
    return path


def _strung(path: Path) -> Path:
    parts = [clips.make_clip(path.with_name(f"{first}.ts"), range(first, first + 24)) for first in (0, 24)]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()
    return path


def _turned(path: Path, clockwise_deg: int) -> Path:
    draw = lambda number: np.rot90(clips.picture(number), clockwise_deg // 90)  # noqa: E731
    clips.rotate(clips.make_clip(path, range(COUNT), draw=draw), clockwise_deg)
    return path


def _mirrored(path: Path) -> Path:
    draw = lambda number: clips.picture(number)[:, ::-1]  # noqa: E731
    clips.orient(clips.make_clip(path, range(COUNT), draw=draw), (-1, 0, 0, 1))
    return path


def _fields(path: Path) -> Path:
    draw = partial(clips.woven, clips.picture)
    return clips.make_clip(path, range(COUNT), draw=draw, options={"x264-params": "interlaced=1:tff=1"})


def _high_range(path: Path, transfer: int) -> Path:
    """PQ is transfer 16 of H.273, HLG 18."""
    return clips.make_signal_clip(path, clips.picture(0) / 255.0, frames=COUNT, tags=(9, 9, transfer))


def _images(path: Path) -> Path:
    stills.make_folder(path.parent, range(COUNT), path.name.replace("%04d", "{:04d}"))
    return path


def _folder(path: Path) -> Path:
    return stills.make_folder(path, range(COUNT), "{:04d}.png")


def _twice(times: list[int], place: int) -> list[int]:
    return [*times[:place], times[place - 1], *times[place + 1 :]]


WHOLE = [
    _plain("open.mp4", "H.264, open groups, B-frames", options=_OPEN),
    _plain("open.mkv", "the same in Matroska", options=_OPEN),
    _plain("open.mov", "the same in MOV", options=_OPEN),
    _plain("open.ts", "the same in MPEG-TS", options=_OPEN),
    _plain("open.flv", "the same in Flash video", options=_OPEN),
    _plain("bare.h264", "bare H.264, no times", options=_OPEN),
    _plain("fragments.mp4", "fragmented MP4", muxer={"movflags": "frag_keyframe+empty_moov"}, options={"g": "12"}),
    _plain("refresh.mp4", "no key frames but the first", options=_REFRESH),
    _plain("hevc.mp4", "HEVC", codec="libx265", options={"x265-params": "keyint=12:open-gop=1:log-level=none"}),
    _plain("mpeg2.ts", "MPEG-2", codec="mpeg2video", options={"g": "12", "bf": "2"}),
    _plain("mpeg2.mpg", "MPEG-2 in a program stream", codec="mpeg2video", options={"g": "12", "bf": "2"}),
    _plain(
        "vp8.webm", "VP8 with hidden frames", codec="libvpx", options={"auto-alt-ref": "1", "lag-in-frames": "12"}
    ),
    _plain("vp9.webm", "VP9", codec="libvpx-vp9", options={"g": "20", "lag-in-frames": "10", "cpu-used": "8"}),
    _plain("av1.mp4", "AV1", codec="libsvtav1", options={"g": "20", "preset": "12", "svtav1-params": "lp=1"}),
    _plain("ffv1.mkv", "FFV1, RGB", codec="ffv1", pix_fmt="bgr0"),
    _plain("ten.mkv", "FFV1, 4:2:2 of 10 bits", codec="ffv1", pix_fmt="yuv422p10le"),
    _plain("grey.nut", "raw grey of 16 bits", codec="rawvideo", pix_fmt="gray16le"),
    _plain("motion.avi", "Motion JPEG", codec="mjpeg", pix_fmt="yuvj420p"),
    _plain("turning.gif", "GIF", codec="gif", pix_fmt="rgb8"),
    Kind("palette.avi", partial(clips.make_palette, count=COUNT), "raw, 8-bit palette told once"),
    Kind("palette.mov", partial(clips.make_palette, count=COUNT), "the same in MOV"),
    Kind("rle.avi", partial(clips.make_palette, count=COUNT, codec="msrle"), "run lengths of a palette"),
    _plain("mpeg4.avi", "MPEG-4 with B-frames in AVI", codec="mpeg4", options={"g": "12", "bf": "2"}),
    Kind("packed.avi", partial(clips.make_packed, count=COUNT, b_frames=1), "the same, packed as DivX did"),
    _plain("h264.avi", "H.264 with B-frames in AVI", options={"g": "12", "bf": "2"}),
    _plain("ntsc.mp4", "30000/1001 frames a second", fps=Fraction(30000, 1001)),
    _plain("uneven.mkv", "a varying rate", codec="ffv1", pts=_UNEVEN, time_base=Fraction(1, 1000)),
    _plain("late.mkv", "begins at 100 s", pts=[2500 + n for n in range(COUNT)], options={"g": "12"}),
    _plain("hours.ts", "begins at 10 h", pts=[36000 * 90000 + 3600 * n for n in range(COUNT)], time_base=_TICKS),
    _plain("wrap.ts", "its clock wraps", pts=[_WRAP - 45000 + 3600 * n for n in range(COUNT)], time_base=_TICKS),
    _plain("bars.mp4", "black bars above and below", draw=clips.with_bars(clips.picture, top=16, bottom=16)),
    Kind("turned.mp4", partial(_turned, clockwise_deg=90), "turned by a display matrix", "turned"),
    Kind("two.mp4", clips.make_two_streams, "two video streams"),
]
ODD = [
    Kind(
        "edited.mp4",
        _from(".mp4", partial(clips.remux, shift_frames=-17), options=_OPEN),
        "17 frames hidden by an edit list",
        "edit list",
    ),
    Kind(
        "lying.mp4",
        _from(".mp4", partial(clips.remux, all_keys=True), codec="mpeg4", options={"g": "24"}),
        "calls every frame a key frame",
    ),
    Kind(
        "doubled.mkv",
        lambda path: clips.make_clip(
            path, range(COUNT), codec="ffv1", pts=_twice(_UNEVEN, 20), time_base=Fraction(1, 1000)
        ),
        "one time stands there twice",
        "do not rise",
    ),
    Kind("mirrored.mp4", _mirrored, "mirrored by a display matrix", "mirrored"),
    _odd("wide.mp4", "pixels that are not square", "not square", pixel_aspect=Fraction(64, 45)),
    Kind("fields.mp4", _fields, "two fields a frame", "interlaced"),
    Kind("pq.mkv", partial(_high_range, transfer=16), "PQ of BT.2020", "High dynamic range (PQ"),
    Kind("hlg.mkv", partial(_high_range, transfer=18), "HLG of BT.2020", "High dynamic range (HLG"),
    Kind("frames", _folder, "a folder of images", "rate"),
    Kind("shot.%04d.png", _images, "images in a row", "rate"),
    Kind("strung.ts", _strung, "two recordings strung together", "jumps back"),
    Kind("noise.mp4", partial(_damaged, place=25, options={"g": "12"}), "noise in a packet", "damaged"),
    Kind(
        "noise.avi",
        partial(_damaged, place=25, codec="mpeg4", options={"g": "12", "bf": "2"}),
        "noise, B-frames",
        "damaged",
    ),
    Kind(
        "cut.mkv",
        _from(".mkv", partial(clips.cut, share=0.7), options={"g": "12"}),
        "70 % of its bytes",
        "cut off",
    ),
    Kind(
        "cut.mp4",
        _from(".mp4", partial(clips.cut, share=0.7), options={"g": "12"}, muxer={"movflags": "+faststart"}),
        "70 % of its bytes",
        "cut off",
    ),
    Kind("cut.avi", _from(".avi", partial(clips.cut, share=0.7), codec="mpeg4"), "70 % of its bytes", "cut off"),
]
KINDS = {kind.name: kind for kind in (*WHOLE, *ODD)}
