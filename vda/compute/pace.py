"""How many frames at once suit this CPU, and how long a model takes on it: a second of the real work at the most.

In: a model and the network's size. Out: a ``Pace``, which is kept with the scene: another micro-batch may move the
last bits, so whoever goes on with the scene keeps to it. This file does not know the video, nor who is told.
"""

import time
from collections.abc import Sequence

import torch

from vda.machine.locks import exclusive_lock
from vda.network.model import VideoDepthModel
from vda.network.slots import WINDOW_SLOTS
from vda.scene.runstate import Pace, RunFiles
from vda.scene.scene import RunRecord
from vda.scene.windows import WINDOW_STEP

# A CPU's caches hold no more; the shape of a frame alone decides where between them the best is. Where four are
# better than one, two are not looked at: they lie between.
BATCHES = (1, 4, 2, 8)
_SECONDS = 0.8
# What is less faster may be noise, and costs memory.
_GAIN = 0.95


def paced(model: VideoDepthModel, record: RunRecord, run: RunFiles, batch_size: int) -> Pace:
    """The pace of the scene ``record`` is of on a CPU; the first worker to ask measures, for all and for good.

    ``batch_size``: the micro-batch that was asked for (0: none).
    """
    with exclusive_lock(run.pace_lock, wait=True):
        path = run.pace_path(record.precision)
        known = Pace.found(path)
        if known is None:
            batches = (min(batch_size, WINDOW_SLOTS),) if batch_size else BATCHES
            known = measure(model, record.net_width, record.net_height, batches).first(path)
    return known


def measure(model: VideoDepthModel, net_width: int, net_height: int, batches: Sequence[int] = BATCHES) -> Pace:
    """Run the encoder on 1, 4, 2 and 8 frames while there is time, then the head for one; raise as they do.

    Each frame goes through the encoder once, but through the head 32/22 times, for windows share frames. The head
    is not warmed up, so the figure errs on the long side; the temporal attention, cheap as it is, sees one slot.
    """
    image = torch.zeros(1, 3, net_height, net_width)
    end = time.perf_counter() + _SECONDS
    best, chosen = float("inf"), batches[0]
    with torch.inference_mode():
        for batch in batches:
            if batch == 2 and chosen > batch:
                continue
            # Twice, for at the first time PyTorch prepares itself for the shape.
            if 2 * batch * best > end - time.perf_counter() and chosen != batch:
                continue
            images = image.expand(batch, -1, -1, -1).contiguous()
            seconds = _seconds(model, images)
            if batch != batches[0] or time.perf_counter() + seconds < end:
                seconds = _seconds(model, images)
            if seconds / batch < _GAIN * best:
                best, chosen = seconds / batch, batch
        features = model.encode(image)
        began = time.perf_counter()
        model.decode(features)
        head = time.perf_counter() - began
    return Pace(chosen, best + head * WINDOW_SLOTS / WINDOW_STEP)


def _seconds(model: VideoDepthModel, images: torch.Tensor) -> float:
    began = time.perf_counter()
    model.encode(images)
    return time.perf_counter() - began
