"""What is unusual about a video: its record and its frame index in, whole sentences out."""

from collections.abc import Iterator

from vda.video.index import FrameIndex
from vda.video.info import VideoInfo
from vda.video.reading import has_fields

# Adaptive streams change their size a few times, broken ones at every frame.
_MOST_NAMED = 5


def notes_of(info: VideoInfo, index: FrameIndex) -> tuple[str, ...]:
    """Of the pictures first, then of the file, then of what was seen in counting its frames."""
    return (*info.notes, *index.notes, *_size_notes(index), *_field_notes(info, index))


def _size_notes(index: FrameIndex) -> Iterator[str]:
    if len(index.sizes) < 2:
        return
    (_, width, height), *others = index.sizes
    changes = ", ".join(f"{other}x{high} from frame {first}" for first, other, high in others[:_MOST_NAMED])
    more = " ..." if others[_MOST_NAMED:] else ""
    yield (
        f"The size of the pictures changes: {changes}{more}. All are fitted into the first's, {width}x{height}, "
        "their shape kept, with black beside them."
    )


def _field_notes(info: VideoInfo, index: FrameIndex) -> Iterator[str]:
    if info.choice.deinterlace == "on":
        yield "Every frame is deinterlaced, as asked."
    elif has_fields(info, index):
        counted = f"{index.interlaced} of {len(index)} frames" if index.interlaced else "its first frame at least"
        yield f"The video is interlaced ({counted}, by its own word): such frames are deinterlaced (bwdif)."
    elif index.interlaced:
        yield f"The video is interlaced ({index.interlaced} of {len(index)} frames) and left so, as asked."
