"""How a film becomes two views: the choices, and what cannot be one.

Numbers are as dedicated tools have them: parallax in per cent of the picture's width, convergence from 0 (the
farthest lies in the screen, all else before it) to 1 (the nearest does, all else behind it).
"""

from dataclasses import dataclass
from typing import Final, Literal

from vda.errors import UsageError

Eyes = Literal["both", "right"]

STEREO_FILES: Final[dict[str, str]] = {
    # Players tell the layout by the name: Kodi looks for 3D and SBS, Skybox for Full_SBS and Half_SBS, Pigasus for
    # LRF (left and right, full) and LR.
    "sbs": "stereo_3D_LRF_Full_SBS.mp4",
    "half-sbs": "stereo_3D_LR_Half_SBS.mp4",
    "cross-eyed": "stereo_cross_eyed.mp4",
    "anaglyph": "stereo_anaglyph.mp4",
}
# More is no longer seen as one picture: television keeps below 4, cinema below 3.
MOST_PARALLAX: Final = 10.0
# What x264 encodes at most, each way.
_WIDEST: Final = 16384


@dataclass(frozen=True)
class StereoStyle:
    """``parallax``: between the farthest and the nearest, in per cent of the width; ``convergence``: which share
    of the way from far to near lies in the screen. ``eyes``: both views are shifted by half each, or the left one
    is the frame itself. Raises ``UsageError`` for what is out of range.
    """

    parallax: float = 2.0
    convergence: float = 0.5
    eyes: Eyes = "both"

    def __post_init__(self) -> None:
        if not 0 <= self.parallax <= MOST_PARALLAX:
            raise UsageError(
                f"A parallax of {self.parallax:g} per cent of the width is not possible.",
                f"Give 0 to {MOST_PARALLAX:g}; 2 is usual.",
            )
        if not 0 <= self.convergence <= 1:
            raise UsageError(
                f"A convergence of {self.convergence:g} is not possible.",
                "Give 0 (the farthest lies in the screen) to 1 (the nearest does).",
            )
        if self.eyes not in ("both", "right"):
            raise UsageError(f"There are no eyes called {self.eyes}.", "Choose one of: both, right.")

    @property
    def shares(self) -> tuple[float, float]:
        """How much of the disparity the left and the right view are shifted by, to the right."""
        return (0.5, -0.5) if self.eyes == "both" else (0.0, -1.0)


def require_encodable(form: str, width: int) -> None:
    """Raise ``UsageError`` where pictures of ``width`` are too wide to lie side by side in one video."""
    if form in ("sbs", "cross-eyed") and 2 * width > _WIDEST:
        raise UsageError(
            f"Two pictures of {width} pixels side by side are wider than the {_WIDEST} that H.264 can hold.",
            "Give --format half-sbs, or plan with --max-res.",
        )
