"""How long a model will take on this CPU: one frame computed, the rest multiplied.

In: a model and the network's size. Out: seconds per frame. This file does not know the video, nor who is told.
"""

import time

import torch

from vda.network.model import VideoDepthModel
from vda.network.slots import WINDOW_SLOTS
from vda.scene.windows import WINDOW_STEP


def seconds_a_frame(model: VideoDepthModel, net_width: int, net_height: int, threads: int) -> float:
    """Run the encoder and the head once for one frame of ``net_width`` x ``net_height`` pixels on ``threads``.

    Each frame goes through the encoder once, but through the head 32/22 times, for windows share frames. Without a
    warm-up, so the figure errs on the long side; the temporal attention, cheap as it is, sees one slot.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    image = torch.zeros(1, 3, net_height, net_width)
    try:
        with torch.inference_mode():
            began = time.perf_counter()
            features = model.encode(image)
            encoded = time.perf_counter()
            model.decode(features)
        return encoded - began + (time.perf_counter() - encoded) * WINDOW_SLOTS / WINDOW_STEP
    finally:
        torch.set_num_threads(before)


def in_words(seconds: float) -> str:
    """A duration as a person says it: "40 seconds", "12 minutes", "3.5 hours"."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
