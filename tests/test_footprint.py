"""What the network needs of a device's memory: held against arithmetic and against PyTorch's own count."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from vda.compute.footprint import footprint, peak_bytes
from vda.compute.ladder import Footprint, Growth, MemoryFit, first_fit, step_down
from vda.network.head import FrameFeatures
from vda.network.model import VideoDepthModel, build_model
from vda.network.slots import WINDOW_SLOTS

pytestmark = pytest.mark.whole

GIB = 1 << 30


def on_meta(name: str, dtype: torch.dtype = torch.float32) -> VideoDepthModel:
    with torch.device("meta"):
        return build_model(name).set_precision(dtype)


def test_what_lives_at_once_is_added_up_and_what_is_let_go_is_not() -> None:
    inputs = torch.empty(10, 100, device="meta")
    weights = torch.empty(100, 300, device="meta")

    def work() -> Tensor:
        wide = inputs @ weights
        wide = wide.relu()
        del wide
        return (inputs + 1)[:, :50]

    # Wide before and after its ReLU: 2 x 10 x 300 floats. Later there are 10 x 100, less.
    assert peak_bytes(work, (inputs, weights)) == 2 * 10 * 300 * 4


def test_weights_and_views_of_them_do_not_count() -> None:
    layer = torch.nn.Linear(64, 64, device="meta")
    inputs = torch.empty(2, 64, device="meta")
    assert peak_bytes(lambda: layer(inputs), (inputs, *layer.parameters())) == 2 * 64 * 4


@pytest.mark.parametrize("frames", [4, 8])
def test_the_encoder_needs_what_the_allocator_gives_it(frames: int) -> None:
    model = build_model("vits")
    images = torch.zeros(frames, 3, 140, 252)
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        model.encode(images)
    assert profiled.profiler is not None
    events = profiled.profiler.kineto_results.events()
    living = most = 0
    for event in sorted((event for event in events if event.name() == "[memory]"), key=lambda e: e.start_ns()):
        living += event.nbytes()
        most = max(most, living)
    # A CPU's convolutions have buffers of their own, which weigh less the more frames there are.
    assert footprint(model, 252, 140).encoder.at(frames) == pytest.approx(most, rel=0.15)


def test_the_head_needs_at_least_its_finest_maps() -> None:
    """At 518 x 924 the small model's last two maps have 32 channels of the network's size, in float32."""
    needs = footprint(on_meta("vits"), 924, 518)
    finest = 2 * 32 * 924 * 518 * 4
    assert finest <= needs.head.per_frame < 1.2 * finest


def test_features_are_counted_as_they_are_kept() -> None:
    model = build_model("mini")
    with torch.inference_mode():
        kept = model.encode(torch.zeros(2, 3, 32, 48))
    assert footprint(model, 48, 32).features == WINDOW_SLOTS // 2 * sum(maps.nbytes for maps in kept)


@pytest.mark.parametrize(("name", "limit_gib"), [("vits", 2), ("vitl", 6)])
def test_half_precision_at_518_x_924_starts_within_its_bound_on_a_large_card(name: str, limit_gib: int) -> None:
    model = on_meta(name, torch.float16)
    needs = footprint(model, 924, 518)
    fit = first_fit(0, 80 * GIB, needs)
    weights = sum(tensor.nbytes for tensor in model.parameters())
    head = 2 * needs.features + needs.head.at(fit.head_batch)
    encoder = needs.features + needs.encoder.at(fit.encoder_batch)
    assert weights + max(head, encoder) < limit_gib * GIB


NEEDS = Footprint(features=1000, encoder=Growth(0, 100), head=Growth(200, 500))


@pytest.mark.parametrize(
    ("free", "fit"),
    [
        (100_000, MemoryFit(8, 4)),
        # 0.85 x 5,000 = 4,250: twice the features, and 200 + 4 x 500.
        (5_000, MemoryFit(8, 4)),
        # 3,400: 1,400 are left for the head, which are two frames.
        (4_000, MemoryFit(8, 2)),
        # 2,125: not even one frame beside the features; without them 200 + 2 x 500.
        (2_500, MemoryFit(8, 2, True)),
        (500, MemoryFit(4, 1, True)),
        (1, MemoryFit(1, 1, True)),
    ],
)
def test_both_parts_start_by_what_is_free(free: int, fit: MemoryFit) -> None:
    assert first_fit(0, free, NEEDS) == fit


def test_an_encoder_batch_that_was_asked_for_stays() -> None:
    assert first_fit(16, 100_000, NEEDS) == MemoryFit(16, 4)
    assert first_fit(64, None, None) == MemoryFit(WINDOW_SLOTS)
    assert first_fit(0, None, None) == MemoryFit(1)


def test_the_part_that_ran_out_steps_down_and_the_other_stays() -> None:
    fit = MemoryFit(8, 4)
    assert step_down(fit, "encoder") == MemoryFit(4, 4)
    assert step_down(fit, "head") == MemoryFit(8, 2)
    assert step_down(fit, "features") == MemoryFit(8, 4, True)
    assert step_down(MemoryFit(1, 4), "encoder") == MemoryFit(1, 4, True)
    assert step_down(MemoryFit(8, 1), "head") == MemoryFit(8, 1, True)
    assert step_down(MemoryFit(1, 4, True), "encoder") is None
    assert step_down(MemoryFit(8, 1, True), "head") is None


def test_time_is_never_handed_more_than_a_grid_of_cuda_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[int] = []

    def seen(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        handed.append(query.shape[0] * query.shape[1])
        return torch.empty_like(query)

    model = on_meta("vits")
    with torch.inference_mode():
        one = model.encode(torch.empty(1, 3, 2072, 3682, device="meta"))
        features = FrameFeatures(*(maps.expand(WINDOW_SLOTS, -1, -1, -1) for maps in one))
        monkeypatch.setattr(F, "scaled_dot_product_attention", seen)
        model.decode(features, micro_batch=32)
    assert 60_000 < max(handed) <= 65_535
