"""The public way of computing depth, as a command: ``python -m bench.public WEIGHTS FILM SIZE THREADS``.

The checkpoint is loaded once, the film is decoded whole, and window after window of 32 frames is resized,
normalised and computed in float32 (``baseline``). Nothing is written, nor are windows joined: what is measured
against this does at least as much.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from bench.baseline import baseline_window
from vda.network.model import build_model
from vda.network.preprocess import net_size

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def window_frames(frames: int) -> list[list[int]]:
    """The frames of each window that the public implementation computes, ceil(frames / 22) of them."""
    windows = []
    for k in range(-(-frames // 22)):
        first = [0, 22 * k - 10] if k else [0, 1]
        windows.append([min(index, frames - 1) for index in [*first, *range(22 * k + 2, 22 * k + 32)]])
    return windows


def main(weights: str, film: str, size: int, threads: int) -> None:
    torch.set_num_threads(threads)
    model = build_model("vits")
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    pictures = _decoded(film)
    height, width = pictures[0].shape[:2]
    shape = net_size(width, height, size)
    for frames in window_frames(len(pictures)):
        images = np.stack([_prepared(pictures[index], shape) for index in frames])
        with torch.inference_mode():
            depth = baseline_window(model, torch.from_numpy(images))
        assert depth.isfinite().all()
        print(f"window of {len(depth)} frames from {frames[2]}", flush=True)


def _decoded(film: str) -> list[np.ndarray]:
    import av

    with av.open(film) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _prepared(rgb: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    small = cv2.resize(rgb.astype(np.float32) / 255, shape, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(((small - _MEAN) / _DEVIATION).transpose(2, 0, 1), np.float32)


if __name__ == "__main__":
    main(str(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
