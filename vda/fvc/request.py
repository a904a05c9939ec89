"""What is asked of scaling: of all videos (``ScaleSettings``) and of one (``Item``, a row of the metadata).

In: options and a checked table. Out: values. This file does not know where files are, nor how videos are scaled.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

from vda.errors import UsageError
from vda.fvc.geometry import Geometry, Layout, Size, require_size
from vda.fvc.paths import depth_name, scaled_name, times_name, tracks_name
from vda.fvc.rate import Rate
from vda.machine.packages import require_package
from vda.picture.signal import Deinterlace, SignalChoice
from vda.records import Within, require_sound

if TYPE_CHECKING:
    import polars as pl

Method = Literal["letterbox", "resize", "autoencoder"]
Modality = Literal["rgb", "depth", "both"]
DepthFormat = Literal["mkv", "png"]


@dataclass(frozen=True)
class ScaleSettings:
    """What makes the same file of the same video.

    ``chunk_size`` frames go through the ``autoencoder`` at once. ``crf`` is x264's scale of quality (0 is
    the best), and decoding can start at every ``gop``-th frame at least. ``deinterlace`` and ``color`` are
    ``picture.signal``'s.
    """

    size: int = 256
    method: Method = "letterbox"
    modality: Modality = "rgb"
    autoencoder: str | None = None
    chunk_size: Annotated[int, Within(1)] = 100
    depth_format: DepthFormat = "mkv"
    crf: Annotated[int, Within(0, 51)] = 10
    gop: Annotated[int, Within(1)] = 12
    rate: Rate = field(default_factory=Rate)
    deinterlace: Deinterlace = "auto"
    color: str = "auto"

    def __post_init__(self) -> None:
        require_sound(self)
        self.signal  # noqa: B018 - raises for words that say nothing
        require_size(self.size)
        if self.autoencoder is not None:
            require_package("diffusers", "The autoencoder", "autoencoder")
        if (self.method == "autoencoder") != (self.autoencoder is not None):
            raise UsageError(
                "The method autoencoder and the option --autoencoder go together.",
                "Give both: --method autoencoder --autoencoder NAME_OR_DIR.",
            )

    @property
    def signal(self) -> SignalChoice:
        """How the pictures of videos are to be taken that state it wrongly."""
        return SignalChoice(self.deinterlace, self.color)

    @property
    def wants_colour(self) -> bool:
        return self.modality != "depth"

    @property
    def wants_depth(self) -> bool:
        return self.modality != "rgb"

    def geometry(self, source: Size, pixel_aspect: Fraction) -> Geometry:
        """The autoencoder's pictures are as large as the video's; what follows it is a letterbox."""
        layout: Layout = "resize" if self.method == "resize" else "letterbox"
        return Geometry.of(layout, source, self.size, pixel_aspect)

    def to_json(self) -> dict[str, Any]:
        """What a record keeps; None for what made no difference."""
        unused = {
            "chunk_size": self.autoencoder is None,
            "depth_format": not self.wants_depth,
            **dict.fromkeys(("crf", "gop"), not self.wants_colour),
        }
        return {name: None if unused.get(name) else value for name, value in asdict(self).items()}

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Say, in words, what another run's settings (``to_json``) had that these do not."""
        mine = self.to_json()
        return [f"{name.replace('_', ' ')} {other.get(name)} became {mine[name]}" for name in mine
                if mine[name] != other.get(name)]  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One row of the metadata: paths as they are stated there."""

    row: int
    video_id: str
    video_path: str
    label: str
    original_video: str | None = None
    augmentation_idx: int | None = None
    is_original: bool = True
    dup_group: str | None = None
    platform: str | None = None
    scene: str | None = None
    tracks: str | None = None

    @property
    def name(self) -> str:
        """The scaled video's name: the key of all that is known of this row."""
        return scaled_name(self.video_id, self.augmentation_idx)

    @property
    def inputs(self) -> dict[str, str | None]:
        """What the scaled files are made of."""
        return {"video_path": self.video_path, "scene": self.scene, "tracks": self.tracks}

    @property
    def columns(self) -> dict[str, Any]:
        """What the row itself tells of its scaled video."""
        return {
            "label": self.label,
            "original_video": self.original_video or (self.video_path if self.is_original else None),
            "augmentation_idx": self.augmentation_idx,
            "is_original": self.is_original,
            "video_id": self.video_id,
            "dup_group": self.dup_group,
            "platform": self.platform,
            "source_path": self.video_path,
            "metadata_row": self.row,
            "removed": False,
        }

    @property
    def depth_name(self) -> str:
        return depth_name(self.video_id, self.augmentation_idx)

    @property
    def tracks_name(self) -> str:
        return tracks_name(self.video_id, self.augmentation_idx)

    @property
    def times_name(self) -> str:
        return times_name(self.video_id, self.augmentation_idx)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Everything that could be made of this row, with any settings."""
        depth = self.depth_name.removesuffix(".mkv")
        return (self.name, self.depth_name, f"{depth}.json", depth, self.tracks_name, self.times_name)


def items_of(table: "pl.DataFrame") -> Iterator[Item]:
    """The rows of a table that ``schema.read_metadata`` checked."""
    for values in table.select(*Item.__dataclass_fields__).iter_rows(named=True):
        yield Item(**values)
