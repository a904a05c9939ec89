"""What ``probe`` says of good videos, and what it says to files that are none."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import clips
import cv2
import pytest

import vda
from vda.errors import VideoError
from vda.video import VideoInfo, index_frames, probe, read_frames
from vda.video.opening import OPTIONS


def test_probe_describes_a_plain_clip(tmp_path: Path) -> None:
    path = clips.make_clip(tmp_path / "a: b%03d.mp4", range(12), fps=Fraction(30000, 1001))
    info = probe(path)
    assert (info.width, info.height, info.rotation_deg) == (80, 48, 0)
    assert (info.fps, info.codec, info.pixel_format) == (Fraction(30000, 1001), "h264", "yuv420p")
    assert (info.claimed_frames, info.size_bytes) == (12, path.stat().st_size)


def test_info_survives_json(tmp_path: Path) -> None:
    info = probe(clips.make_clip(tmp_path / "a.mp4", range(3), fps=Fraction(24000, 1001)))
    assert VideoInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


def test_identity_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    first = clips.make_clip(tmp_path / "a.mp4", range(3))
    moved = tmp_path / "b.mp4"
    moved.write_bytes(first.read_bytes())
    other = clips.make_clip(tmp_path / "c.mp4", range(1, 4))
    assert probe(moved).sha256_head_tail == probe(first).sha256_head_tail
    assert probe(other).sha256_head_tail != probe(first).sha256_head_tail


@pytest.mark.parametrize(("clockwise_deg", "size"), [(90, (48, 80)), (180, (80, 48)), (270, (48, 80))])
def test_size_is_that_of_the_upright_picture(tmp_path: Path, clockwise_deg: int, size: tuple[int, int]) -> None:
    path = clips.make_clip(tmp_path / "a.mp4", range(3))
    clips.rotate(path, clockwise_deg)
    info = probe(path)
    assert (info.rotation_deg, (info.width, info.height)) == (clockwise_deg, size)


def test_best_of_several_video_streams_is_taken(tmp_path: Path) -> None:
    info = probe(clips.make_two_streams(tmp_path / "two.mp4"))
    assert (info.stream_index, info.width, info.height) == (1, 160, 96)


def test_absurd_frame_rate_of_a_container_is_not_believed(tmp_path: Path) -> None:
    path = clips.make_clip(
        tmp_path / "a.flv", range(20), pts=[40 * n for n in range(20)], time_base=Fraction(1, 1000)
    )
    assert probe(path).fps < 480


def _text(folder: Path) -> Path:
    path = folder / "notes.mp4"
    path.write_text("These are notes, not pictures.\n" * 20)
    return path


def _empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def _encrypted(folder: Path) -> Path:
    scheme = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "0f" * 16, "encryption_kid": "f0" * 16}
    return clips.make_clip(folder / "secret.mp4", muxer=scheme)


def _first_segment(folder: Path) -> Path:
    whole = clips.make_clip(folder / "whole.mp4", muxer={"movflags": "frag_keyframe+empty_moov"})
    path = folder / "init.mp4"
    data = whole.read_bytes()
    path.write_bytes(data[: data.index(b"moof") - 4])
    return path


def _without_table(folder: Path) -> Path:
    return clips.cut(clips.make_clip(folder / "whole.mp4"), folder / "cut.mp4", 0.5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "nowhere.mp4", "no file"),
        (lambda folder: folder, "folder"),
        (_text, "cannot be opened"),
        (_empty, "empty"),
        (lambda folder: clips.make_sound(folder / "sound.mp4"), "no video stream"),
        (_without_table, "cannot be opened"),
        (_encrypted, "is encrypted"),
        (_first_segment, "not one frame"),
    ],
)
def test_bad_file_gets_two_sentences(tmp_path: Path, make: Callable[[Path], Path], says: str) -> None:
    with pytest.raises(VideoError, match=says) as raised:
        probe(make(tmp_path))
    assert raised.value.exit_code == 2
    for sentence in (raised.value.problem, raised.value.remedy):
        assert sentence.endswith(".")
        assert "\n" not in sentence


def _concat(folder: Path) -> str:
    return f"ffconcat version 1.0\nfile {folder / 'other.mp4'}\n"


def _m3u8(folder: Path) -> str:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:1.2,", str(folder / "other.ts"), "#EXT-X-ENDLIST"]
    return "\n".join(lines) + "\n"


def _dash(folder: Path) -> str:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" profiles="x"><Period>'
        '<AdaptationSet contentType="video"><Representation id="0" bandwidth="1" mimeType="video/mp4">'
        f"<BaseURL>{folder / 'other.mp4'}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )


@pytest.mark.parametrize("name", ["a.mp4", "a.ffconcat", "a.m3u8", "a.mpd", "a.avi", "a"])
@pytest.mark.parametrize("content", [_concat, _m3u8, _dash])
def test_a_list_of_other_files_is_no_video(tmp_path: Path, content: Callable[[Path], str], name: str) -> None:
    """FFmpeg goes by what a file holds: it would open whatever the list names."""
    clips.make_clip(tmp_path / "other.mp4")
    clips.make_clip(tmp_path / "other.ts")
    (tmp_path / name).write_text(content(tmp_path))
    with pytest.raises(VideoError, match="list of other files") as raised:
        probe(tmp_path / name)
    assert raised.value.exit_code == 2


def test_formats_that_open_other_files_are_not_allowed() -> None:
    """By FFmpeg's documentation of its demuxers and of ``-safe``: these take names or addresses from the file."""
    allowed = OPTIONS["format_whitelist"].split(",")
    for name in (
        "concat",
        "hls",
        "dash",
        "imf",
        "sdp",
        "rtsp",
        "rtp",
        "lavfi",
        "vobsub",
        "mlv",
        "webm_dash_manifest",
    ):
        assert name not in allowed
    assert OPTIONS["protocol_whitelist"] == "file"
    readable = {name for known in av.formats_available for name in known.split(",")}
    assert set(allowed) <= readable


@pytest.mark.parametrize("name", ["frame_%05d.png", "frame_*.png", "frame_?0001.png", "frame_{1,2}.png"])
def test_a_single_image_is_itself_whatever_its_name(tmp_path: Path, name: str) -> None:
    """FFmpeg would take the name for a pattern and read the images beside it."""
    for number in range(1, 4):
        cv2.imwrite(str(tmp_path / f"frame_{number:05d}.png"), clips.picture(number))
    cv2.imwrite(str(tmp_path / "other.png"), clips.picture(500))
    path = (tmp_path / "other.png").rename(tmp_path / name)
    info = probe(path)
    index = index_frames(info, cache_dir=tmp_path / "cache")
    assert [clips.number_in(frame.rgb) for frame in read_frames(info, index, 0, len(index))] == [500]


def test_videos_are_opened_in_one_place() -> None:
    """Whoever opens a video elsewhere opens it without these limits."""
    package = Path(vda.__file__).parent
    places = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if any(door in path.read_text() for door in ("av.open(", "VideoCapture", "imageio", "imread("))
    }
    # The sound is tried on a file that is written, in memory.
    assert places == {"video/opening.py", "video/sound.py", "video/writing.py", "training/judge.py"}
