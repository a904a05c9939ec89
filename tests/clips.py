"""Makes small video files for tests, of all the kinds that bite: with PyAV alone, without the code under test.

Every picture carries its number as black and white blocks, which survive lossy coding; ``number_in`` reads it.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

BITS = 10


def picture(number: int, width: int = 80, height: int = 48) -> np.ndarray:
    """RGB uint8 [height, width, 3]: a moving ramp, with ``number`` in blocks (most significant first) on top."""
    x = np.arange(width)[None, :, None]
    y = np.arange(height)[:, None, None]
    rgb = (np.array([2, 3, 5]) * (x + y) + 7 * number) % 160 + 40
    for bit in range(BITS):
        rgb[: height // 3, _block(bit, width)] = 255 * (number >> (BITS - 1 - bit) & 1)
    return rgb.astype(np.uint8)


def with_bars(
    draw: Callable[[int], np.ndarray],
    *,
    left: int = 0,
    top: int = 0,
    right: int = 0,
    bottom: int = 0,
    level: int = 0,
    noise: float = 0.0,
    text: bool = False,
) -> Callable[[int], np.ndarray]:
    """Pictures with so many pixels of bar on each side: of this grey, with normal noise, with a subtitle below."""

    def barred(number: int) -> np.ndarray:
        inner = draw(number)
        height, width = inner.shape[:2]
        rgb = np.full((top + height + bottom, left + width + right, 3), float(level))
        rgb += np.random.default_rng(number).normal(0, noise, rgb.shape) if noise else 0
        if text:
            # A line of letters that changes, in the middle of the bar.
            y, x = top + height + bottom // 3, left + width // 4
            letters = np.random.default_rng(number).random((max(bottom // 3, 1), width // 2)) < 0.5
            rgb[y : y + letters.shape[0], x : x + letters.shape[1]][letters] = 235
        rgb[top : top + height, left : left + width] = inner
        return np.clip(rgb, 0, 255).astype(np.uint8)

    return barred


def number_in(rgb: np.ndarray) -> int:
    """Read the number back from a picture that was decoded at its own size, upright."""
    height, width, _ = rgb.shape
    centre = slice(height // 9, 2 * height // 9)
    bits = [rgb[centre, _block(bit, width)].mean() > 128 for bit in range(BITS)]
    return int("".join(str(int(bit)) for bit in bits), 2)


def _block(bit: int, width: int) -> slice:
    return slice(bit * width // BITS, (bit + 1) * width // BITS)


def make_clip(
    path: Path,
    numbers: Iterable[int] = range(30),
    *,
    draw: Callable[[int], np.ndarray] = picture,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    fps: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    muxer: dict[str, str] | None = None,
    pixel_aspect: Fraction = Fraction(1),
) -> Path:
    """Encode ``draw(number)`` for each number; ``pts`` count ``time_base`` (else one frame each)."""
    pictures = [draw(number) for number in numbers]
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = time_base or 1 / Fraction(fps)
        if pixel_aspect != 1:
            stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = pixel_aspect
        for place, rgb in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format=pix_fmt)
            frame.time_base = stream.codec_context.time_base
            frame.pts = pts[place] if pts else place
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def woven(draw: Callable[[int], np.ndarray], number: int) -> np.ndarray:
    """Frame ``number`` of interlaced video, bottom field first: even lines are drawn one time later than odd ones.

    x264 takes the order from the frames' flags, which PyAV cannot set, and says bottom first whatever it is told.
    """
    whole = draw(2 * number).copy()
    whole[::2] = draw(2 * number + 1)[::2]
    return whole


def make_joined(path: Path, parts: Sequence[tuple[Sequence[np.ndarray], dict[str, str]]]) -> Path:
    """One H.264 stream in MPEG-TS of several encodings (pictures, options), as broadcasts change over."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = parts[0][0][0].shape[:2]
        stream.pix_fmt = "yuv420p"
        shown = 0
        for pictures, options in parts:
            encoder = av.CodecContext.create("libx264", "w")
            assert isinstance(encoder, av.VideoCodecContext)
            encoder.height, encoder.width = pictures[0].shape[:2]
            encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
            encoder.options = {"bf": "0", **options}
            frames = [av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24") for rgb in pictures]
            for place, frame in enumerate([*(frame.reformat(format="yuv420p") for frame in frames), None], shown):
                if frame is not None:
                    frame.pts, frame.time_base = place, encoder.time_base
                for packet in encoder.encode(frame):
                    packet.stream = stream
                    container.mux(packet)
            shown += len(pictures)
    return path


def make_signal_clip(
    path: Path,
    signal: np.ndarray,
    *,
    shares: tuple[float, float] = (0.2627, 0.0593),
    tags: tuple[int, int, int] = (9, 9, 16),
    full: bool = False,
    bits: int = 10,
    frames: int = 3,
    options: str = "",
) -> Path:
    """A lossless HEVC clip in 4:4:4, of R'G'B' ``signal`` (float [height, width, 3], 0..1), coded as in BT.2100.

    ``shares`` are red's and blue's in luma; ``tags`` primaries, matrix and transfer as H.273 numbers them;
    ``options`` more of x265's own.
    """
    red, blue = shares
    luma = signal @ [red, 1 - red - blue, blue]
    ratios = [luma, (signal[..., 2] - luma) / (2 * (1 - blue)), (signal[..., 0] - luma) / (2 * (1 - red))]
    top, unit = (1 << bits) - 1, 1 << (bits - 8)
    scales = [(top, 0), (top, 1 << (bits - 1))] if full else [(219 * unit, 16 * unit), (224 * unit, 128 * unit)]
    planes = [
        np.clip(np.rint(plane * scale + offset), 0, top).astype(np.uint16)
        for plane, (scale, offset) in zip(ratios, (scales[0], scales[1], scales[1]), strict=True)
    ]
    name = f"yuv444p{bits}le"
    with av.open(str(path), "w") as container:
        tuned = f"lossless=1:log-level=none{options and ':'}{options}"
        stream = container.add_stream("libx265", rate=25, options={"x265-params": tuned})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = signal.shape[:2]
        stream.pix_fmt = name
        context = stream.codec_context
        context.color_primaries, context.colorspace, context.color_trc = tags
        context.color_range = 2 if full else 1
        for _ in range(frames):
            frame = av.VideoFrame(signal.shape[1], signal.shape[0], name)
            for plane, codes in zip(frame.planes, planes, strict=True):
                rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
                rows[:, : codes.shape[1]] = codes
                plane.update(rows.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def remux(source: Path, path: Path, *, shift_frames: int = 0, all_keys: bool = False) -> Path:
    """Copy the packets, with a lie if wanted.

    With ``shift_frames`` < 0 the first frames come before time 0, which mp4 hides by an edit list; with
    ``all_keys`` the container says of every frame that decoding can start there.
    """
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as old, av.open(str(path), "w", options=options) as new:
        shown = old.streams.video[0]
        stream = new.add_stream_from_template(shown)
        assert shown.average_rate is not None and shown.time_base is not None
        step = round(1 / (shown.average_rate * shown.time_base))
        for packet in old.demux(video=0):
            if packet.size:
                assert packet.pts is not None and packet.dts is not None
                packet.pts += shift_frames * step
                packet.dts += shift_frames * step
                packet.is_keyframe |= all_keys
                packet.stream = stream
                new.mux(packet)
    return path


def make_palette(path: Path, count: int, codec: str = "rawvideo") -> Path:
    """Pictures of 256 greys by a palette that is told once, at the start."""
    palette = np.full((256, 4), 255, np.uint8)
    palette[:, 1:] = np.arange(256)[::-1, None]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 80, 48, "pal8"
        for number in range(count):
            indices = 255 - picture(number)[:, :, 0]
            frame = av.VideoFrame.from_ndarray((indices, palette), format="pal8")  # type: ignore[arg-type]
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_packed(path: Path, count: int, b_frames: int) -> Path:
    """MPEG-4 in AVI as DivX 5 wrote it: a frame and the first of those shown before it in one packet.

    What then has no packet of its own gets a place holder, a picture that says it is not coded (ISO/IEC 14496-2,
    vop_coded 0).
    """
    source = make_clip(path.with_suffix(".plain.avi"), range(count), codec="mpeg4", options={"bf": str(b_frames)})
    start = b"\x00\x00\x01\xb6"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        coded = [bytes(packet) for packet in old.demux(video=0) if packet.size]
        header = coded[0].index(start)
        coded[0] = coded[0][:header] + b"\x00\x00\x01\xb2DivX503b1393p\x00" + coded[0][header:]
        kinds = [data[data.index(start) + 4] >> 6 for data in coded]  # 0, 1, 2: I, P, B
        packed: list[bytes] = []
        for place, data in enumerate(coded):
            if kinds[place] == 2 and kinds[place - 1] != 2:
                packed[-1] += data
            else:
                packed.append(data)
            if kinds[place] == 2 and (place + 1 == count or kinds[place + 1] != 2):
                packed.append(start + b"\x51\x00\x00")
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.time_base = Fraction(1, 25)
        for place, data in enumerate(packed):
            packet = av.Packet(data)
            packet.pts = packet.dts = place
            packet.time_base = Fraction(1, 25)
            packet.is_keyframe = data[data.index(start) + 4] >> 6 == 0
            packet.stream = stream
            new.mux(packet)
    source.unlink()
    return path


def damage(path: Path, place: int) -> None:
    """Overwrite the inside of the ``place``-th packet, but for its first bytes, with noise."""
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][place]
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(0).bytes(packet.size - 6)
    assert packet.pos is not None
    data[packet.pos + 6 : packet.pos + packet.size] = noise
    path.write_bytes(data)


def cut(source: Path, path: Path, share: float) -> Path:
    """Write the first part of a file, as an interrupted copy does."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def rotate(path: Path, clockwise_deg: int) -> None:
    """Turn an mp4's pictures by its display matrix."""
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[clockwise_deg]
    orient(path, (cosine, sine, -sine, cosine))


def orient(path: Path, axes: tuple[float, float, float, float]) -> None:
    """Write a display matrix [a b 0; c d 0; 0 0 1], ``axes`` a, b, c and d, into an mp4's track header."""
    a, b, c, d = axes
    matrix = np.rint(np.array([a, b, 0, c, d, 0, 0, 0, 0]) * 65536) + np.array([0] * 8 + [1 << 30])
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    data[start : start + 36] = matrix.astype(">i4").tobytes()
    path.write_bytes(data)


def make_two_streams(path: Path) -> Path:
    """A small first video stream (12 frames, numbers from 500) and a larger default one (20, from 0)."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        streams[1].disposition = Disposition.default.value  # type: ignore[assignment]  # PyAV 17 takes numbers
        for stream, size in zip(streams, ((80, 48), (160, 96)), strict=True):
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
        for stream, count, first in zip(streams, (12, 20), (500, 0), strict=True):
            for place in range(count):
                rgb = picture(first + place, stream.width, stream.height)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
            container.mux(stream.encode(None))
    return path


def make_sound(path: Path) -> Path:
    """A tenth of a second of silence, and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
