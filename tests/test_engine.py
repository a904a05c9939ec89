"""Windows computed anywhere, in any order, once."""

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from seeded import spread_depth
from torch import Tensor

from vda.compute.engine import Engine, Picture
from vda.compute.ladder import MemoryFit
from vda.network.head import FrameFeatures
from vda.network.model import VideoDepthModel, build_model
from vda.scene.windows import sequence_windows

FRAMES = 58
HEIGHT, WIDTH = 32, 48
ONE = MemoryFit(1)


@pytest.fixture(scope="module")
def model() -> VideoDepthModel:
    torch.manual_seed(5)
    model = build_model("mini")
    spread_depth(model)
    return model


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Frames:
    """A source that makes each frame from its index and remembers what it was asked for."""

    def __init__(self, undecoded: frozenset[int] = frozenset()) -> None:
        self.asked: list[int] = []
        self.undecoded = undecoded

    def __call__(self, order: Sequence[int]) -> Iterator[Picture]:
        for index in order:
            self.asked.append(index)
            pixels = np.random.default_rng(index).standard_normal((3, HEIGHT, WIDTH)).astype(np.float32)
            yield Picture(index, pixels, index not in self.undecoded)


def all_windows() -> list[tuple[int, ...]]:
    return [window.frame_indices for window in sequence_windows(0, FRAMES)]


def compute(model: VideoDepthModel, windows: list[tuple[int, ...]], fit: MemoryFit = ONE) -> list[np.ndarray]:
    engine = Engine(model, torch.device("cpu"), fit)
    return [answer.depth for answer in engine.compute(windows, Frames())]


@pytest.fixture(scope="module")
def reference(model: VideoDepthModel) -> list[np.ndarray]:
    torch.set_num_threads(1)
    return compute(model, all_windows())


def test_engine_gives_what_the_whole_network_gives(model: VideoDepthModel, reference: list[np.ndarray]) -> None:
    window = all_windows()[1]
    images = np.stack([picture.pixels for picture in Frames()(window)])
    with torch.inference_mode():
        plain = model(torch.from_numpy(images)[None])[0].numpy()
    assert np.abs(plain - reference[1]).max() < 1e-5
    assert plain.std() > 1e-3


@pytest.mark.parametrize("batch", [1, 4])
def test_a_window_is_the_same_bytes_alone_and_in_any_company(model: VideoDepthModel, batch: int) -> None:
    windows = all_windows()
    together = compute(model, windows, MemoryFit(batch))
    backwards = compute(model, windows[::-1], MemoryFit(batch))[::-1]
    for k, window in enumerate(windows):
        (alone,) = compute(model, [window], MemoryFit(batch))
        assert np.array_equal(alone, together[k])
        assert np.array_equal(backwards[k], together[k])


def test_micro_batches_change_no_more_than_rounding(model: VideoDepthModel, reference: list[np.ndarray]) -> None:
    step = (max(d.max() for d in reference) - min(d.min() for d in reference)) / 65534
    for fit in (MemoryFit(4), MemoryFit(1, 5), MemoryFit(32, 1)):
        for depth, expected in zip(compute(model, all_windows(), fit), reference, strict=True):
            assert np.abs(depth - expected).max() < step / 2


def test_features_on_the_host_change_nothing(model: VideoDepthModel, reference: list[np.ndarray]) -> None:
    answers = compute(model, all_windows(), MemoryFit(1, features_on_host=True))
    assert all(np.array_equal(depth, expected) for depth, expected in zip(answers, reference, strict=True))


def test_each_frame_is_drawn_and_encoded_once(model: VideoDepthModel, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = model.encode

    def counted(images: Tensor) -> FrameFeatures:
        encoded.append(len(images))
        return encode(images)

    monkeypatch.setattr(model, "encode", counted)
    frames = Frames()
    list(Engine(model, torch.device("cpu")).compute(all_windows(), frames))
    assert frames.asked == list(range(FRAMES))
    assert sum(encoded) == FRAMES


def test_slots_without_a_picture_are_named(model: VideoDepthModel) -> None:
    windows = all_windows()[:2]
    answers = list(Engine(model, torch.device("cpu")).compute(windows, Frames(frozenset({0, 30}))))
    assert answers[0].missing == (0, 30)
    assert answers[1].missing == (0, 8)


def test_progress_counts_frames_batches_and_windows(model: VideoDepthModel) -> None:
    engine = Engine(model, torch.device("cpu"), MemoryFit(4))
    list(engine.compute(all_windows()[:2], Frames()))
    assert engine.progress.frames_decoded == 54
    assert engine.progress.windows_done == 2
    assert engine.progress.batches_done == 14 + 2


@pytest.mark.parametrize(("side", "places"), [(2400, 2), (1024, 10), (64, 16)])
def test_frames_are_read_ahead_within_128_mib(
    model: VideoDepthModel, monkeypatch: pytest.MonkeyPatch, side: int, places: int
) -> None:
    """As many as fit, 16 at most and 2 at least; the reader holds one more, and one begins a block."""
    window = all_windows()[0]
    changed, drawn, most = threading.Condition(), 0, 0
    # Of any size, in no memory.
    pixels = torch.zeros(1).expand(3, side, side)

    def source(order: Sequence[int]) -> Iterator[Picture]:
        nonlocal drawn
        for index in order:
            with changed:
                drawn += 1
                changed.notify()
            yield Picture(index, pixels, True)

    encoded = 0

    def encode(images: Tensor) -> FrameFeatures:
        nonlocal encoded, most
        encoded += 1
        with changed:
            assert changed.wait_for(lambda: drawn - encoded > places + 1 or drawn == len(window), timeout=240)
            most = max(most, drawn - encoded)
        return FrameFeatures(*(images[:, :1, :1, :1] for _ in FrameFeatures._fields))

    monkeypatch.setattr(model, "encode", encode)
    monkeypatch.setattr(model, "decode", lambda features, micro_batch: torch.zeros(32, 2, 2))
    list(Engine(model, torch.device("cpu")).compute([window], source))
    assert most == places + 2


def test_an_error_of_the_source_surfaces_and_ends_the_thread(model: VideoDepthModel) -> None:
    def broken(order: Sequence[int]) -> Iterator[Picture]:
        yield from Frames()(order[:5])
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        list(Engine(model, torch.device("cpu")).compute(all_windows(), broken))
    assert not [thread for thread in threading.enumerate() if thread.name == "decode-ahead"]


def test_closing_early_ends_the_thread(model: VideoDepthModel) -> None:
    answers = Engine(model, torch.device("cpu")).compute(all_windows(), Frames())
    next(answers)
    answers.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "decode-ahead"]
