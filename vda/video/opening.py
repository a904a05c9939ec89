"""A video file opened as that file alone, and whether all its bytes are there.

In: a path. Out: an open container, or the ``VideoError`` that says why not; how many bytes the file says it has.
What a file holds decides how FFmpeg reads it, whatever its name: so only formats are allowed that hold their
pictures themselves. Playlists and scripts, which make FFmpeg open other files, are refused, and so is every
protocol but files. This file does not know streams.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from vda.errors import VideoError

# FFmpeg's names of formats that hold their pictures themselves: containers, bare streams, images.
_CONTAINERS: Final = (
    "mov matroska avi mpegts mpeg flv asf ogg gif apng nut mxf gxf dv wtv rm ivf obu swf flic amv nsv nuv "
    "roq smk bink 4xm ea film_cpk pva dhav lmlm4 kux vivo ser cine r3d rpl vmd idcin jv wc3movie thp "
    "filmstrip mtv xmv ty psxstr yuv4mpegpipe mpegvideo mjpeg mjpeg_2000 m4v h261 h263 h264 hevc vvc evc "
    "av1 vc1 vc1test dirac cavsvideo avs2 avs3 jpegxl_anim ico"
)
_IMAGES: Final = (
    "image2 bmp_pipe dds_pipe dpx_pipe exr_pipe gif_pipe hdr_pipe j2k_pipe jpeg_pipe jpegls_pipe "
    "jpegxl_pipe pam_pipe pbm_pipe pcx_pipe pfm_pipe pgm_pipe pgmyuv_pipe phm_pipe png_pipe ppm_pipe "
    "psd_pipe qoi_pipe sgi_pipe sunrast_pipe tiff_pipe webp_pipe xbm_pipe xpm_pipe xwd_pipe"
)
OPTIONS: Final = {
    "format_whitelist": ",".join(f"{_CONTAINERS} {_IMAGES}".split()),
    "protocol_whitelist": "file",
    # A single image called frame_%05d.png is that image, not its neighbours.
    "pattern_type": "none",
}
# From version 19 on, PyAV reads texts that are not UTF-8 without being asked to.
TOLERANT: Final[dict[str, Any]] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
# A device that could not be used so often is left alone: each time costs the decoding of a few frames.
_MOST_DOUBTS: Final = 3
# AV_CUDA_USE_PRIMARY_CONTEXT: the context that PyTorch has as well, for a second one takes hundreds of megabytes.
_PRIMARY_CONTEXT: Final = 1
_PLAYLISTS: Final = (b"ffconcat", b"#EXTM3U", b"<MPD", b"<?xml", b"[playlist]", b"v=0")


@dataclass
class Decoder:
    """What decodes: the CPU, or a GPU's own decoder (NVDEC) as long as nothing speaks against it.

    ``frames`` came from the device; ``doubts`` say why others did not, where they were to.
    """

    kind: Literal["cpu", "gpu"] = "cpu"
    frames: int = 0
    doubts: list[str] = field(default_factory=list)

    @property
    def is_device(self) -> bool:
        return self.kind == "gpu" and len(self.doubts) < _MOST_DOUBTS

    def doubt(self, reason: str) -> None:
        self.doubts.append(reason)


def open_on_device(path: Path) -> InputContainer:
    """As ``open_container``, of a file that opens, to be decoded by the process's GPU.

    Raises FFmpeg's own errors or ``OSError`` where there is no such device.
    """
    device = HWAccel("cuda", flags=_PRIMARY_CONTEXT)
    return av.open(f"file:{path}", container_options=OPTIONS, hwaccel=device, **TOLERANT)


def open_container(path: Path) -> InputContainer:
    """Open ``path`` and nothing else, or raise the ``VideoError`` that says why it cannot be opened."""
    if not path.exists():
        raise VideoError(f"There is no file {path}.", "Check the path of the video.")
    if not path.is_file():
        raise VideoError(f"{path} is a folder or a device, not a file.", "Give the path of one video file.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty.", "Copy or download the video again.")
    try:
        # The prefix keeps a colon in the name from being read as a network protocol. The options are for the
        # container alone: given to streams as well, PyAV 17 crashes where a format begins without any (flv, ts).
        return av.open(f"file:{path}", container_options=OPTIONS, **TOLERANT)
    except (av.FFmpegError, OSError) as error:
        if _is_playlist(path):
            raise VideoError(
                f"{path} is a list of other files, not a video: none of them was opened.",
                "Give the video files that it names, one by one.",
            ) from error
        raise VideoError(
            f"{path} cannot be opened as a video: {_reason(error)}.",
            "Check that it is a whole, unencrypted video file (`ffprobe` shows what it holds), or copy it again.",
        ) from error


def _is_playlist(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_PLAYLISTS)


def _reason(error: Exception) -> str:
    if isinstance(error, av.error.ArgumentError):  # what FFmpeg answers where a format is not allowed
        return "its format is not one of those that are read here"
    return str(getattr(error, "strerror", None) or error)


def missing_bytes(path: Path) -> int | None:
    """How many bytes are missing from the end of a file, by the sizes that its outermost parts state.

    Known for Matroska (RFC 8794: the segment's size), for MP4 and MOV (ISO/IEC 14496-12: the boxes') and for AVI
    (the RIFF chunks'); None for other formats, and where a file that was written as a stream leaves it open.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        head = handle.read(12)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            end = _end_of_segment(handle)
        elif head[:4] == b"RIFF" and head[8:] == b"AVI ":
            end = _end_of_parts(handle, size, _riff_part)
        elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"pnot"):
            end = _end_of_parts(handle, size, _box)
        else:
            return None
    return None if end is None else max(0, end - size)


def _end_of_parts(handle: BinaryIO, size: int, length_of: Any) -> int | None:
    """Where the last of the parts ends that follow each other from the start."""
    place = 0
    while place < size:
        handle.seek(place)
        length = length_of(handle.read(16))
        if length is None:  # bytes that are no part of the format, such as padding
            return place
        if length == 0:  # a box that goes on to wherever the file ends
            return None
        place += length
    return place


def _box(head: bytes) -> int | None:
    if len(head) < 8 or not all(32 <= byte < 127 or byte == 0xA9 for byte in head[4:8]):
        return None
    length = int.from_bytes(head[:4], "big")
    if length == 1:
        length = int.from_bytes(head[8:], "big")
    return length if length == 0 or length >= 8 else None


def _riff_part(head: bytes) -> int | None:
    length = int.from_bytes(head[4:8], "little")
    # Recorders that were never stopped leave the size at nothing.
    return 8 + length + length % 2 if head[:4] == b"RIFF" and length not in (0, 0xFFFFFFFF) else None


def _end_of_segment(handle: BinaryIO) -> int | None:
    handle.seek(4)
    header = _ebml_size(handle)
    if header is None:
        return None
    handle.seek(header, 1)
    while identity := handle.read(4):
        length = _ebml_size(handle)
        if length is None:
            return None
        if identity == b"\x18\x53\x80\x67":
            return handle.tell() + length
        if identity[0] != 0xEC:  # anything but void between the two is no Matroska
            return None
        handle.seek(length, 1)
    return None


def _ebml_size(handle: BinaryIO) -> int | None:
    """A variable-length size (RFC 8794, section 4); None where it says "unknown"."""
    first = handle.read(1)
    if not first or first[0] == 0:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + handle.read(more), "big")
    return None if value == (1 << 7 * (more + 1)) - 1 else value
