"""A part's depth put to its place in the depth image: nothing is known of bars, nor under an overlay.

In: depth of the part of the pictures that was computed. Out: the same in the depth image, NaN elsewhere.
"""

from dataclasses import dataclass
from typing import Any

from vda.joining.align import Float32Array
from vda.joining.pieces import FrameDepth
from vda.picture.framing import Framing


@dataclass(frozen=True)
class FramedDepth:
    """``part`` has the size of the framing's box."""

    part: FrameDepth
    framing: Framing

    @property
    def start(self) -> int:
        return self.part.start

    @property
    def stop(self) -> int:
        return self.part.stop

    def frame(self, index: int) -> Float32Array:
        """Return the depth of a frame, float32 ``[height, width]`` of the depth image."""
        return self.framing.placed(self.part.frame(index))

    def is_missing(self, index: int) -> bool:
        return self.part.is_missing(index)

    def value_range(self) -> tuple[float, float]:
        return self.part.value_range()

    def quantisation_error(self) -> float:
        return self.part.quantisation_error()

    def to_json(self) -> dict[str, Any]:
        return self.part.to_json()
