"""Whole worlds: the same from the same seed, sound to look at, and true from frame to frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vda.camera.intrinsics import project, unproject_image
from vda.errors import UsageError
from vda.synth.raster import Parts, Viewpoint, trace
from vda.synth.render import render_frames
from vda.synth.setting import gaps
from vda.synth.worlds import World, sample_world

WIDTH, HEIGHT = 96, 54
DURATION_S = 2.0
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [sample_world(seed, DURATION_S) for seed in range(100, 124)]


def depth_at(world: World, time_s: float, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    view = Viewpoint(world.camera_to_world(time_s), world.intrinsics(width, height))
    return trace([Parts(world.things).at(time_s)], [view], CPU).depth[0].numpy()


@pytest.mark.parametrize("style", ["table", "street"])
def test_the_same_seed_gives_the_same_bytes_in_any_order_and_batch(style: str) -> None:
    indices = [0, 7, 3, 12, 5]
    first = {
        f.index: f for f in render_frames(sample_world(11, DURATION_S, style), indices, WIDTH, HEIGHT, batch=1)
    }
    again = list(render_frames(sample_world(11, DURATION_S, style), sorted(indices), WIDTH, HEIGHT, batch=3))
    for frame in again:
        assert frame.depth_m.tobytes() == first[frame.index].depth_m.tobytes()
        assert frame.camera_to_world.tobytes() == first[frame.index].camera_to_world.tobytes()
        assert frame.thing.tobytes() == first[frame.index].thing.tobytes()
        assert frame.rgb.tobytes() == first[frame.index].rgb.tobytes()
    assert [frame.index for frame in again] == sorted(indices)


def test_another_seed_gives_another_scene() -> None:
    depths = [depth_at(sample_world(seed, DURATION_S), 0.0).tobytes() for seed in range(4)]
    assert len(set(depths)) == 4


def test_pictures_show_texture_light_and_no_nonsense() -> None:
    for style in ("room", "street", "field", "abstract"):
        frame = next(iter(render_frames(sample_world(3, DURATION_S, style), [2], WIDTH, HEIGHT)))
        assert frame.rgb.shape == (HEIGHT, WIDTH, 3)
        assert frame.rgb.dtype == np.uint8
        assert frame.depth_m.dtype == np.float32
        assert (frame.depth_m > 0).all()
        assert ((frame.thing < 0) == np.isinf(frame.depth_m)).all()
        assert frame.rgb.std() > 6, style


@pytest.mark.parametrize(("style", "seed"), [("room", 2), ("hall", 6), ("street", 1), ("field", 4)])
def test_depth_and_pose_of_one_frame_foretell_another_of_a_static_scene(style: str, seed: int) -> None:
    world = sample_world(seed, DURATION_S, style, "truck")
    world = replace(world, things=tuple(thing for thing in world.things if thing.motion is None))
    camera, (one, other) = world.intrinsics(WIDTH, HEIGHT), (world.camera_to_world(t) for t in (0.0, 0.6))
    depth = depth_at(world, 0.0)
    points = unproject_image(camera, np.where(depth < 100, depth, np.nan)).reshape(-1, 3)
    seen = (points @ one[:3, :3].T + one[:3, 3] - other[:3, 3]) @ other[:3, :3]
    xy = project(camera, seen)
    inside = np.isfinite(xy).all(axis=1) & (np.abs(xy - [47.5, 26.5]) < [47, 26]).all(axis=1)
    # A view of one pixel, centred on the foretold place, leaves no interpolation to blame.
    rng = np.random.default_rng(0)
    chosen = rng.choice(np.flatnonzero(inside), 150, replace=False)
    placed = Parts(world.things).at(0.6)
    away = np.array([np.linalg.norm(one[:3, 3] - other[:3, 3])])
    errors = []
    for x, y, z in np.column_stack([xy[chosen], seen[chosen, 2]]):
        pixel = replace(camera, width=1, height=1, cx=camera.cx - x, cy=camera.cy - y)
        errors.append(trace([placed], [Viewpoint(other, pixel)], CPU).depth.item() / z - 1)
    assert away > 0.02
    # What was seen can be hidden now, by something nearer; nothing can be farther than foretold.
    assert np.median(np.abs(errors)) < 1e-5
    assert np.mean(np.abs(errors) < 1e-4) > 0.8
    assert np.mean(np.array(errors) > 1e-3) < 0.02


def test_the_camera_is_never_in_or_at_anything(worlds: list[World]) -> None:
    for world in worlds:
        parts = Parts(world.things)
        for time_s in np.arange(0, DURATION_S, 0.1):
            place = world.camera_to_world(float(time_s))[:3, 3]
            assert gaps(parts.at(float(time_s)), place[None]).min() > 0.05, (world.seed, time_s)


def test_things_that_move_do_not_run_into_things_that_stand() -> None:
    walkers = 0
    for seed in range(5):
        world = sample_world(seed, DURATION_S, "hall")
        standing = Parts([t for t in world.things if t.motion is None and t.role != "ground"]).at(0.0)
        for thing in (thing for thing in world.things if thing.motion is not None):
            walkers += 1
            for time_s in np.arange(0, DURATION_S, 0.2):
                middle = thing.pose(float(time_s))[1] - [0, thing.height / 2, 0]
                assert gaps(standing, middle[None]).min() > 0.1
    assert walkers > 2


def test_depth_does_not_follow_from_the_height_in_the_picture(worlds: list[World]) -> None:
    explained, rows = [], np.repeat(np.arange(18.0), 32)
    for world in worlds:
        depth = depth_at(world, 0.0, 32, 18).ravel().astype(float)
        explained.append(np.corrcoef(rows, 1 / depth)[0, 1] ** 2)
    assert np.median(explained) < 0.6
    assert np.mean(np.array(explained) < 0.3) > 0.2


def test_lenses_distances_and_motions_vary(worlds: list[World]) -> None:
    fov = [world.horizontal_fov_deg for world in worlds]
    depths = [depth_at(world, 0.0, 32, 18) for world in worlds]
    medians = [np.median(depth[np.isfinite(depth)]) for depth in depths]
    pitch = [np.degrees(np.arcsin(-world.camera_to_world(0.0)[1, 2])) for world in worlds]
    assert min(fov) < 40
    assert max(fov) > 80
    assert np.percentile(medians, 90) / np.percentile(medians, 10) > 5
    assert min(pitch) < -30
    assert max(pitch) > 0
    assert len({world.motion for world in worlds}) >= 5
    assert len({world.style for world in worlds}) >= 6


def test_sins_change_the_picture_and_never_the_truth() -> None:
    clean, poor = (
        next(iter(render_frames(sample_world(21, DURATION_S, "yard", sins=sins), [4], WIDTH, HEIGHT)))
        for sins in (False, True)
    )
    assert (clean.depth_m == poor.depth_m).all()
    assert (clean.rgb != poor.rgb).any()


def test_an_unknown_style_or_motion_is_refused() -> None:
    with pytest.raises(UsageError, match="moon"):
        sample_world(0, style="moon")
    with pytest.raises(UsageError, match="hover"):
        sample_world(0, motion="hover")
