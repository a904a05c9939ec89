"""Figures of depth against truth, from arrays, frame by frame: what benchmarks of monocular depth list.

    masks       which pixels count: the range, the border, the field's crops
    alignment   scale and shift, or a scale alone, of a video or of each frame
    pixelwise   errors of single pixels: AbsRel to delta3
    temporal    the temporal alignment error
    boundaries  depth boundary errors
    normals     angles between surface normals
    video       the protocol: all of them over a video's frames

Nothing here reads files or knows where depth is from.
"""

from vda.metrics.video import Figures, VideoMetrics, measure, ramp

__all__ = ["Figures", "VideoMetrics", "measure", "ramp"]
