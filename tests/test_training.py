"""Training of the built-in model: what the losses forgive, what a batch holds, and that a run can be repeated."""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import torch

from vda.camera.intrinsics import Intrinsics
from vda.errors import InputError
from vda.network.slots import WINDOW_SLOTS
from vda.scene.windows import Window
from vda.training.__main__ import SHIPPED
from vda.training.average import Average, export, folded_mini, unfolded
from vda.training.batches import batch_at, slots
from vda.training.cache import HELD_OUT_SEED, Clip, frame_type, listed, read, render
from vda.training.curves import draw_curves
from vda.training.inmemory import still_depth, video_depth
from vda.training.judge import (
    SYNTHETIC_CAP_M,
    as_markdown,
    in_words,
    loaded,
    predictors,
    rgbd_folder,
    synthetic,
    table,
)
from vda.training.loop import LOG_NAME, Run, branch_off, load_checkpoint, trainable_mini
from vda.training.losses import LossWeights, temporal_matching, total_loss
from vda.training.recipe import Phase, Recipe
from vda.training.turnover import Claim, render_all, still_to_come

pytestmark = pytest.mark.whole

TINY_PHASES = (
    Phase("stills", 0.5, 2, 1, ((64, 96), (96, 64)), LossWeights()),
    Phase("windows", 0.5, 1, 4, ((64, 64),), LossWeights(temporal=1.0), frozen_encoder=True),
)
TINY = Recipe(seed=3, steps=2, cooling=2, warmup=1, last_phases=TINY_PHASES)


slow = pytest.mark.skipif("VDA_SLOW_TESTS" not in os.environ, reason="half a minute: run by `make slow`")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The steps are too small to share, and on a busy machine threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of arithmetic: a nearer lower half, and a brightness that gives it away."""
    folder = tmp_path_factory.mktemp("clips")
    generator = np.random.default_rng(0)
    for seed in (0, 1, 2, 3, 4, HELD_OUT_SEED):
        records = np.zeros(8, frame_type(40, 64))
        records["inverse_depth"] = generator.random((8, 40, 64)) + np.linspace(0, 1, 40)[:, None]
        records["rgb"] = (120 * records["inverse_depth"][..., None]).astype(np.uint8)
        np.save(folder / Clip(seed, 8, 40, 64).name, records)
    return folder


def test_loss_forgives_scale_and_shift_of_a_clip_but_not_of_one_frame() -> None:
    torch.manual_seed(0)
    truth, free = torch.rand(2, 4, 16, 16), LossWeights(anchor=0.0, temporal=1.0)
    assert total_loss(3 * truth + 2, truth, free) < 0.05
    one_frame_off = truth.clone()
    one_frame_off[:, 2] = 3 * one_frame_off[:, 2] + 2
    assert total_loss(one_frame_off, truth, free) > 10 * total_loss(3 * truth + 2, truth, free)


def test_anchor_asks_for_a_mean_of_one() -> None:
    truth = torch.rand(1, 1, 16, 16) + 0.1
    unit = truth / truth.mean()
    assert total_loss(unit, truth, LossWeights()) < total_loss(3 * unit, truth, LossWeights())


def test_loss_stays_finite_on_a_clip_that_is_all_sky() -> None:
    predicted = torch.ones(1, 4, 16, 16, requires_grad=True)
    loss = total_loss(predicted, torch.zeros(1, 4, 16, 16), LossWeights(temporal=1.0))
    loss.backward()
    assert torch.isfinite(loss)
    assert predicted.grad is not None and torch.isfinite(predicted.grad).all()


def test_temporal_loss_sees_flicker_where_nothing_moves_and_not_between_anchors() -> None:
    truth = torch.ones(1, 6, 8, 8)
    importance = torch.ones_like(truth)
    flicker, anchors = truth.clone(), truth.clone()
    flicker[:, 3] += 0.5
    anchors[:, 0] += 0.5
    assert temporal_matching(flicker, truth, importance) == pytest.approx(2 * 0.5 / 3)
    assert temporal_matching(anchors, truth, importance) == 0


def test_phases_are_drawn_by_their_shares_and_follow_each_other_in_the_cool_down() -> None:
    phases = (replace(TINY_PHASES[0], name="small", share=0.9), replace(TINY_PHASES[0], name="large", share=0.1))
    recipe = Recipe(steps=2100, cooling=100, phases=phases, last_phases=TINY_PHASES)
    drawn = [recipe.phase_at(step).name for step in range(2000)]
    # Three standard deviations of a draw of 2,000.
    assert abs(drawn.count("large") - 200) < 3 * (2000 * 0.9 * 0.1) ** 0.5
    assert set(drawn) == {"small", "large"}
    cooling = [recipe.phase_at(step).name for step in range(2000, 2100)]
    assert cooling == ["stills"] * 50 + ["windows"] * 50


def test_the_rate_rises_holds_and_falls_as_one_less_the_root() -> None:
    recipe = Recipe(steps=200, cooling=100, warmup=10, rate=2.0)
    rates = [recipe.rate_at(step) for step in range(200)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert set(rates[10:101]) == {2.0}
    assert rates[125] == pytest.approx(1.0)
    assert rates[181] == pytest.approx(0.2)
    longer = replace(recipe, steps=400)
    assert [longer.rate_at(step) for step in range(101)] == rates[:101]


def test_a_cool_down_branches_off_and_the_run_goes_on_as_if_there_were_none(clips: Path, tmp_path: Path) -> None:
    endless = replace(TINY, steps=1000, cooling=0, phases=TINY_PHASES[:1])
    trunk, alone = tmp_path / "trunk", tmp_path / "alone"
    for folder in (trunk, alone):
        folder.mkdir()
    undisturbed = Run(endless, alone, clips).advance(4)
    losses = Run(endless, trunk, clips).advance(2)
    assert branch_off(trunk, trunk / "cooled") == 2
    cooled = replace(TINY, steps=4, cooling=2)
    Run(cooled, trunk / "cooled", clips).advance(1)
    losses += Run(endless, trunk, clips).advance(2)
    assert losses == undisturbed
    # It goes on from its own checkpoint, and knows where it began though the trunk is further.
    assert branch_off(trunk, trunk / "cooled") == 2
    assert Run(cooled, trunk / "cooled", clips).step == 3


def test_a_window_for_training_is_laid_out_as_one_of_a_long_video() -> None:
    real = Window(0, 200, 3).frame_indices
    drawn = [slots(64, WINDOW_SLOTS, np.random.default_rng(seed)) for seed in range(40)]
    later = [chosen for chosen in drawn if chosen[0] < chosen[1] < chosen[2] - 2]
    assert len(later) > 5
    for chosen in later:
        assert np.diff(chosen[1:]).tolist() == np.diff(real[1:]).tolist()
    first = [
        chosen for chosen in drawn if np.diff(chosen).tolist() == np.diff(Window(0, 200, 0).frame_indices).tolist()
    ]
    assert first


def test_a_step_has_its_own_batch_and_always_the_same(clips: Path) -> None:
    first, again, other = (batch_at(clips, listed(clips), TINY_PHASES[0], 7, step) for step in (11, 11, 12))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert first[0].shape != other[0].shape or not torch.equal(first[0], other[0])


def test_a_run_may_start_from_anothers_weights(clips: Path, tmp_path: Path) -> None:
    donor, heir = Run(TINY, tmp_path, clips), Run(replace(TINY, seed=4), tmp_path / "none", clips)
    heir.start_from(donor.average.state)
    for ours, theirs in zip(heir.model.state_dict().values(), donor.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_run_that_starts_from_exported_weights_computes_what_they_do(clips: Path, tmp_path: Path) -> None:
    shipped = loaded(SHIPPED)
    run = Run(TINY, tmp_path, clips)
    run.start_from(unfolded(shipped.state_dict(), run.some_stills()))
    frames = run.some_stills()
    with torch.inference_mode():
        wanted = shipped.encode(frames)
        for eval_or_batch in (folded_mini(run.average.state).encode(frames), run.model.train().encode(frames)):
            for ours, theirs in zip(eval_or_batch, wanted, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_the_same_seed_gives_the_same_losses_and_so_does_a_resumed_run(clips: Path, tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("whole", "halves")]
    for folder in runs:
        folder.mkdir()
    whole = Run(TINY, runs[0], clips).advance(2)
    halves = Run(TINY, runs[1], clips).advance(1)
    halves += Run(TINY, runs[1], clips).advance(1)
    assert halves == whole


@slow
def test_the_first_hundred_losses_do_not_depend_on_what_is_rendered_meanwhile(clips: Path, tmp_path: Path) -> None:
    recipe, late = replace(TINY, steps=100, cooling=100), tmp_path / "clips"
    late.mkdir()
    for clip in listed(clips)[:3]:
        (late / clip.name).hardlink_to(clips / clip.name)
    runs = [
        Run(recipe, tmp_path / "early", clips, first_clips=3),
        Run(recipe, tmp_path / "late", late, first_clips=3),
    ]
    for run in runs:
        run.folder.mkdir()
    early, later = (run.advance(100) for run in runs)
    assert early == later
    assert len(set(early)) > 90


def test_training_refuses_held_out_clips_and_another_runs_checkpoint(clips: Path, tmp_path: Path) -> None:
    run = Run(TINY, tmp_path, clips)
    assert [clip.seed for clip in run.clips] == [0, 1, 2, 3, 4]
    assert [clip.seed for clip in Run(TINY, tmp_path, clips, first_clips=3).clips] == [0, 1, 2]
    run.save()
    with pytest.raises(InputError, match="another recipe"):
        Run(replace(TINY, seed=4), tmp_path, clips)
    with pytest.raises(InputError, match="no rendered clips"):
        Run(TINY, tmp_path, tmp_path)


def clips_of_seeds(clips: Path, folder: Path, seeds: list[int]) -> Path:
    """Clips in ``folder``, made one after the other."""
    folder.mkdir()
    for age, seed in enumerate(seeds):
        path = folder / Clip(seed, 8, 40, 64).name
        shutil.copyfile(clips / Clip(0, 8, 40, 64).name, path)
        os.utime(path, (1000 + age, 1000 + age))
    return folder


def seeds_in(folder: Path) -> list[int]:
    return [clip.seed for clip in listed(folder)]


def test_a_run_removes_what_was_rendered_first_and_logs_which_seeds_it_drew_from(
    clips: Path, tmp_path: Path
) -> None:
    """Seed 2 was rendered after seeds 7 to 9; none goes in the first hundred steps, and no held-out one ever."""
    folder = clips_of_seeds(clips, tmp_path / "clips", [HELD_OUT_SEED, 7, 8, 9, 2])
    run = Run(replace(TINY, steps=200, cooling=0, phases=TINY_PHASES[:1]), tmp_path, folder, keep=2)
    run.advance(1)
    assert seeds_in(folder) == [2, 7, 8, 9, HELD_OUT_SEED]
    run.step = 100
    run.advance(1)
    assert seeds_in(folder) == [2, 9, HELD_OUT_SEED]
    with (tmp_path / LOG_NAME).open() as handle:
        rows = [(row["step"], row["clips"], row["first"], row["last"]) for row in csv.DictReader(handle)]
    assert rows == [("0", "4", "2", "9"), ("100", "2", "2", "9")]


def test_no_clip_is_removed_that_another_training_has_listed(clips: Path, tmp_path: Path) -> None:
    folder = clips_of_seeds(clips, tmp_path / "clips", [0, 1, 2, 3])
    ours, other = Claim(folder), Claim(folder)
    assert [clip.seed for clip in ours.clips(keep=1)] == [0, 1, 2, 3]
    del other
    assert [clip.seed for clip in ours.clips(keep=2)] == [2, 3]
    third = Claim(folder)
    assert [clip.seed for clip in ours.clips(keep=1)] == [2, 3]
    del ours
    assert [clip.seed for clip in third.clips(keep=1)] == [3]


def test_renderers_wait_for_room_and_what_has_made_room_is_not_rendered_again(tmp_path: Path) -> None:
    clips, held_out, seen = [Clip(seed, 2, 24, 32) for seed in range(6)], Clip(HELD_OUT_SEED, 2, 24, 32), []
    render(tmp_path, held_out)

    def make_room() -> None:
        seen.append(seeds_in(tmp_path)[:-1])
        (tmp_path / listed(tmp_path)[0].name).unlink()

    render_all(tmp_path, clips, keep=2, wait=make_room)
    # Two, and a tenth of that: one.
    assert seen == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert seeds_in(tmp_path) == [3, 4, 5, HELD_OUT_SEED]
    more = [*clips, Clip(6, 2, 24, 32)]
    assert still_to_come(tmp_path, more, keep=2) == more[6:]
    assert still_to_come(tmp_path, more, keep=0) == [*more[:3], more[6]]


def test_renderers_end_with_a_training_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from vda.training.cache import Clip
from vda.training.turnover import start_renderers
if __name__ == "__main__":
    (renderer,) = start_renderers(Path({str(tmp_path)!r}), [Clip(seed, 48, 36, 64) for seed in range(9999)], 1)
    print(renderer.pid, flush=True)
    renderer.join()
"""
    script = tmp_path / "train.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as training:
        assert training.stdout is not None
        renderer = psutil.Process(int(training.stdout.readline()))
        training.kill()
    renderer.wait(timeout=240)


def test_a_few_steps_lower_the_loss_of_one_batch(clips: Path, tmp_path: Path) -> None:
    phase = replace(TINY_PHASES[0], share=1.0, sizes=((64, 64),))
    run = Run(Recipe(seed=1, steps=40, cooling=0, warmup=1, phases=(phase,)), tmp_path, clips)
    losses = run.advance(10)
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


def test_the_exported_file_computes_what_was_trained(clips: Path, tmp_path: Path) -> None:
    run = Run(TINY, tmp_path, clips)
    run.advance(2)
    export(load_checkpoint(tmp_path)["average"], tmp_path / "mini.safetensors")
    frames = torch.randn(1, 3, 3, 64, 96)
    shipped, trained = loaded(tmp_path / "mini.safetensors"), folded_mini(run.average.state)
    with torch.inference_mode():
        torch.testing.assert_close(shipped(frames), trained(frames), rtol=0.02, atol=0.02)


def test_the_average_follows_the_model() -> None:
    model = torch.nn.Linear(2, 2, bias=False)
    average = Average(model, decay=0.9)
    before = average.state["weight"].clone()
    with torch.no_grad():
        model.weight += 1
    average.update(model, step=10_000)
    torch.testing.assert_close(average.state["weight"], before + 0.1)


def test_curves_are_drawn_from_the_log(tmp_path: Path) -> None:
    lines = [f"{step},{'stills' if step < 70 else 'windows'},{1 / (step + 1)},0.5,9" for step in range(100)]
    (tmp_path / LOG_NAME).write_text("\n".join(["step,phase,loss,seconds,clips", *lines]))
    draw_curves(tmp_path / LOG_NAME, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_rendered_clip_is_what_the_renderer_made(tmp_path: Path) -> None:
    clip = Clip(5, 2, 24, 32)
    render(tmp_path, clip)
    rgb, inverse_depth = read(tmp_path, clip, [1, 0])
    assert listed(tmp_path) == [clip]
    assert rgb.shape == (2, 24, 32, 3)
    assert rgb.std() > 1
    assert (inverse_depth >= 0).all()
    assert inverse_depth.max() > 0


def test_time_is_ignored_by_stills_and_used_by_windows() -> None:
    torch.manual_seed(2)
    model = trainable_mini().eval()
    for name, parameter in model.head.named_parameters():
        if "proj_out.weight" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    frames = np.random.default_rng(0).integers(0, 255, (3, 32, 48, 3), dtype=np.uint8)
    stills = still_depth(model, frames, 32)
    np.testing.assert_allclose(stills[1:2], still_depth(model, frames[1:2], 32), rtol=1e-4, atol=1e-5)
    assert np.abs(video_depth(model, frames, 32) - stills).max() > 1e-3


def test_judging_puts_every_predictor_in_the_table(tmp_path: Path) -> None:
    sample = synthetic(tmp_path, Clip(HELD_OUT_SEED + 500, 2, 36, 64))
    assert sample.cap_m == SYNTHETIC_CAP_M
    truth = {"truth": lambda rgb: 1 / sample.depth_m}
    constant = {"constant": lambda rgb: np.ones(rgb.shape[:3], np.float32)}
    rows = table([sample], truth | constant)
    assert rows["truth"][0].delta1 == 1.0
    assert rows["truth"][0].abs_rel < 1e-3 < rows["constant"][0].abs_rel
    assert "| truth | 0.000" in as_markdown(rows)


def test_what_is_upside_down_is_counted_and_not_averaged_as_if_it_were_good(tmp_path: Path) -> None:
    """Near and far exchanged exactly: its best fit is perfect, and the right way up it is worth a constant."""
    sample = synthetic(tmp_path, Clip(HELD_OUT_SEED + 500, 2, 36, 64))
    chosen = {
        "exchanged": lambda rgb: -1 / sample.depth_m,
        "constant": lambda rgb: np.ones(rgb.shape[:3], np.float32),
    }
    rows = table([sample], chosen)
    assert rows["exchanged"][0].abs_rel < 1e-3
    exchanged, constant = as_markdown(rows).splitlines()[2:]
    assert exchanged.split("|")[2:5] == constant.split("|")[2:5]
    assert ("1 of 1" in exchanged, "0 of 1" in constant) == (True, True)
    assert "(!) upside down at its best: 0.000, 1.000" in in_words("clip", rows["exchanged"][0])
    assert "(!)" not in in_words("clip", rows["constant"][0])


def write_frame(folder: Path, name: str, brightness: int, left_m: float) -> None:
    cv2.imwrite(str(folder / f"{name}.color.jpg"), np.full((48, 64, 3), brightness, np.uint8))
    cv2.imwrite(str(folder / f"{name}.depth.png"), np.full((48, 64), 1500 + brightness, np.uint16))
    pose = np.eye(4)
    pose[0, 3] = left_m
    np.savetxt(folder / f"{name}.pose.txt", pose)


def test_a_folder_as_7_scenes_has_them_is_read_with_each_pictures_own_pose(tmp_path: Path) -> None:
    """The pose of frame 8 has no picture, and frame 10 comes after frame 9 although its name sorts before."""
    np.savetxt(tmp_path / "camera-intrinsics.txt", np.array([[50.0, 0, 31.5], [0, 51.0, 23.5], [0, 0, 1]]))
    write_frame(tmp_path, "frame-10", 200, left_m=3.0)
    write_frame(tmp_path, "frame-9", 100, left_m=2.0)
    np.savetxt(tmp_path / "frame-8.pose.txt", np.eye(4))
    sample = rgbd_folder(tmp_path)
    assert sample.rgb[:, 0, 0].tolist() == [[100] * 3, [200] * 3]
    assert sample.depth_m[:, 0, 0].tolist() == [1.6, 1.7]
    assert sample.poses is not None and sample.poses[:, 0, 3].tolist() == [2.0, 3.0]
    assert sample.intrinsics == Intrinsics(64, 48, 50.0, 51.0, 31.5, 23.5)
    (tmp_path / "frame-10.pose.txt").unlink()
    with pytest.raises(InputError, match="no pose of frame 10"):
        rgbd_folder(tmp_path)


def test_the_shipped_weights_are_trained(tmp_path: Path) -> None:
    weights = Path(__file__).parents[1] / "vda" / "models" / "mini" / "mini.safetensors"
    assert weights.stat().st_size <= 16_000_000
    samples = [synthetic(tmp_path, Clip(HELD_OUT_SEED + seed, 3, 112, 208)) for seed in range(600, 604)]
    rows = table(samples, predictors(loaded(weights), 112, stills=False))
    means = {name: np.mean([figures.abs_rel for figures in rows[name]]) for name in rows}
    assert means["mini"] < 0.9 * min(means["vertical ramp"], means["constant"])
