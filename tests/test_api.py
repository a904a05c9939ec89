"""What ``import vda`` gives: the names, their types, that they are the commands, and depth read back as arrays."""

import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from depth_runs import INPUT_SIZE, make_video, make_weights

import vda
from vda.api.films import DepthOutcome
from vda.api.keywords import DepthOptions
from vda.calibration.fit import Calibration, save_calibration
from vda.calibration.identity import Fingerprint
from vda.cli import main
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.files import write_png16
from vda.merging.settings import MergeSettings
from vda.splitting.settings import PlanSettings
from vda.supervisor.resolve import RunSettings

ROOT = Path(__file__).parents[1]
FUNCTIONS = [
    "depth",
    "dry_run",
    "enrich",
    "export",
    "load_model",
    "merge",
    "open_depth",
    "open_scene",
    "plan",
    "run",
    "view",
]
COMMANDS = {
    "plan": "split", "run": "run", "merge": "merge", "depth": "depth", "enrich": "enrich", "export": "export",
    "view": "view",
}  # fmt: skip
SETTINGS_OF: dict[str, tuple[type, ...]] = {
    "plan": (PlanSettings,),
    "run": (RunSettings,),
    "merge": (MergeSettings,),
    "depth": (PlanSettings, RunSettings, MergeSettings),
}
# What only a command has: what it prints, and working without a terminal.
# ``--dry-run`` is ``vda.dry_run``, for what comes of it is another type.
# A part of a merge is no depth to open yet.
OF_COMMANDS = {"json", "quiet", "debug", "detach", "if_idle", "dry_run", "part"}
FRAMES, HEIGHT, WIDTH = 7, 12, 16


class TestNames:
    def test_these_and_no_more(self) -> None:
        assert sorted(vda.__all__) == sorted([*FUNCTIONS, "VdaError", "__version__"])
        assert dir(vda) == sorted(vda.__all__)
        assert all(getattr(vda, name).__doc__ for name in vda.__all__ if name != "__version__")
        with pytest.raises(AttributeError, match="no attribute 'deph'"):
            vda.deph  # type: ignore[attr-defined] # noqa: B018

    def test_both_signatures_of_depth_have_its_keywords(self) -> None:
        keywords = inspect.signature(vda.depth).parameters
        own = {
            name: parameter.annotation
            for name, parameter in keywords.items()
            if parameter.kind == parameter.KEYWORD_ONLY
        }
        assert own == DepthOptions.__annotations__

    def test_every_keyword_comes_to_be_a_setting_or_is_asked_for_by_name(self) -> None:
        """One that was forgotten would be taken, and change nothing."""
        elsewhere = {
            # Of ``plan`` the devices only say how many chunks suit; of ``merge`` where it is made.
            "plan": {"devices", "restart"},
            "run": set(),
            "merge": {"discard_windows", "on", "slurm", "ray_address", "ranges"},
            "depth": {"discard_windows"},
        }
        for name, kinds in SETTINGS_OF.items():
            keywords = {
                parameter.name
                for parameter in inspect.signature(getattr(vda, name)).parameters.values()
                if parameter.kind == parameter.KEYWORD_ONLY
            }
            settings = {field.name for kind in kinds for field in dataclasses.fields(kind)} | {"format"}
            assert keywords - settings - {"reporter"} == elsewhere[name], name

    def test_what_is_given_is_what_the_stages_are_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[Any] = []

        def depth(*arguments: Any, **keywords: Any) -> DepthOutcome:
            asked.extend(arguments)
            return DepthOutcome([], [])

        monkeypatch.setattr("vda.api.todepth.depth", depth)
        vda.depth(
            ["a.mp4", "b.mp4"],
            weights="w.safetensors", threads=2, on="slurm", slurm=["time=10:00"], format="npz", coding="log",
            overwrite=True, chunks=3, frames=(0, 9), mask="logo.png",
        )  # fmt: skip
        assert asked == [
            [Path("a.mp4"), Path("b.mp4")],
            [Path("data/a"), Path("data/b")],
            RunSettings(weights=Path("w.safetensors"), threads=2, on="slurm", slurm=("time=10:00",)),
            MergeSettings(("npz",), overwrite=True, create_video=True, coding="log"),
            PlanSettings(3, (0, 9), mask=Path("logo.png")),
        ]

    def test_no_function_is_hidden_by_a_file_or_folder_of_its_name(self) -> None:
        assert not {path.stem for path in (ROOT / "vda").iterdir()} & set(FUNCTIONS)

    def test_nothing_is_loaded_before_a_name_is_used(self) -> None:
        heavy = "('vda.', 'numpy', 'torch')"
        code = f"import sys, vda; print(*(name for name in sys.modules if name.startswith({heavy})))"
        loaded = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=user_s_environment()
        )
        assert not loaded.stdout.split()

    @pytest.mark.parametrize("name", COMMANDS)
    def test_keywords_and_defaults_are_those_of_the_command(self, name: str) -> None:
        command = main.commands[COMMANDS[name]]
        parsed = command.make_context(name, [], resilient_parsing=True).params
        options = {option_name(option): option for option in command.params}
        keywords = inspect.signature(getattr(vda, name)).parameters
        assert set(keywords) - {"reporter"} == set(options) - OF_COMMANDS
        for key in sorted(set(keywords) & set(options)):
            option, ours = options[key], keywords[key].default
            if isinstance(option, click.Option) and not option.required and option.name in parsed:
                # An option that may be given several times is a tuple; a single format is written as it is.
                assert parsed[option.name] in (ours, (ours,)), key


def option_name(parameter: click.Parameter) -> str:
    """``--create-video/--no-video`` is ``create_video``; of the arguments, several videos are one here."""
    if isinstance(parameter, click.Argument):
        return {"videos": "video", "scenes": "scene"}.get(str(parameter.name), str(parameter.name))
    return max(parameter.opts, key=len).removeprefix("--").replace("-", "_")


def user_s_environment() -> dict[str, str]:
    return {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def test_a_users_type_checker_sees_the_types(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import vda\n"
        'depth = vda.depth("film.mp4", model="vits", frames=(0, 24))\n'
        "reveal_type(depth)\n"
        "reveal_type(depth[0])\n"
        "reveal_type(depth[2:4])\n"
        "reveal_type(depth.times)\n"
        'reveal_type(vda.depth(["a.mp4", "b.mp4"], model="vits"))\n'
        'reveal_type(vda.open_scene("data/film").plan)\n'
        'reveal_type(vda.enrich("data/film", tracks="a.json", output="b.json"))\n'
        'reveal_type(vda.load_model("mini"))\n'
        'vda.plan("film.mp4", chunk=4)\n'
        "vda.no_such_name\n"
    )
    # Whose types are not asked for takes three times as long to be read as all of ours.
    settings = tmp_path / "mypy.ini"
    settings.write_text("[mypy]\n[mypy-torch.*,cv2.*,av.*,scipy.*,matplotlib.*]\nfollow_imports = skip\n")
    asked = ["--cache-dir", str(tmp_path / "cache"), "--config-file", str(settings), str(script)]
    command = [sys.executable, "-m", "mypy", *asked]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=user_s_environment()).stdout
    # NumPy spells its own precision differently from version to version.
    plain = re.sub(r"numpy\._typing\.(?:_nbit_base\.)?", "", told).replace("floating[_64Bit]", "float64")
    single = "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.floating[_32Bit]]]"
    assert re.findall(r'note: Revealed type is "([^"]+)"', plain) == [
        "vda.api.results.VideoDepth",
        single,
        single,
        "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.float64]] | None",
        "list[vda.api.results.VideoDepth]",
        "vda.scene.chunks.Plan",
        "vda.enriching.settings.Report",
        "vda.network.model.VideoDepthModel",
    ], told
    assert re.search(r':11: error: Unexpected keyword argument "chunk"', told)
    assert re.search(r':12: error: Module has no attribute "no_such_name"', told)


def merged(folder: Path, *, unit_m: bool = False) -> np.ndarray:
    """A merged folder of frames 3 to 9, each of one value but for a hole in its first pixel; the values."""
    values = np.stack([np.full((HEIGHT, WIDTH), 1 + frame, np.float32) for frame in range(FRAMES)])
    values[:, 0, 0] = np.nan
    quantizer = Quantizer.millimetres() if unit_m else Quantizer.for_range(1, FRAMES)
    folder.mkdir(parents=True, exist_ok=True)
    for place, image in enumerate(values):
        write_png16(folder / f"depth_{place + 3:06d}.png", quantizer.encode(image))
    DepthRecord(quantizer, FRAMES, WIDTH, HEIGHT, "test").write(folder / "depth.json")
    return values


class TestOpenDepth:
    def test_places_slices_and_iteration_are_those_of_an_array(self, tmp_path: Path) -> None:
        values = merged(tmp_path / "depth")
        with vda.open_depth(tmp_path / "depth") as depth:
            assert (len(depth), depth.height, depth.width) == (FRAMES, HEIGHT, WIDTH)
            assert (depth.kind, depth.unit, depth.times) == ("inverse_depth", "relative", None)
            assert list(depth.frames) == list(range(3, 3 + FRAMES))
            for place in (0, 3, -1, -FRAMES):
                np.testing.assert_allclose(depth[place], values[place], atol=1e-4)
            for part in (
                slice(None),
                slice(2, 5),
                slice(-2, None),
                slice(None, None, 3),
                slice(5, 2),
                slice(4, 1, -1),
            ):
                np.testing.assert_allclose(depth[part], values[part], atol=1e-4)
                assert depth[part].dtype == np.float32 and depth[part].ndim == 3
            np.testing.assert_allclose(np.stack(list(depth)), values, atol=1e-4)
            np.testing.assert_allclose(depth.frame(9), values[6], atol=1e-4)
            with pytest.raises(IndexError):
                depth[FRAMES]
            with pytest.raises(vda.VdaError, match="frame 2"):
                depth.frame(2)
        with pytest.raises(vda.VdaError, match="closed"):
            depth[0]

    def test_a_stack_of_floats_and_a_sensors_images_are_read_too(self, tmp_path: Path) -> None:
        stack = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
        np.savez(tmp_path / "depths.npz", depths=stack)
        np.testing.assert_array_equal(vda.open_depth(tmp_path / "depths.npz")[:], stack)
        (tmp_path / "sensor").mkdir()
        write_png16(tmp_path / "sensor" / "0.png", np.full((3, 4), 1500, np.uint16))
        with pytest.raises(vda.VdaError, match="how many are a metre"):
            vda.open_depth(tmp_path / "sensor")[0]
        sensor = vda.open_depth(tmp_path / "sensor", scale=1000)
        assert (sensor.kind, sensor.unit) == ("depth", "metre")
        np.testing.assert_array_equal(sensor.metres[0], np.full((3, 4), 1.5, np.float32))

    def test_metres_are_those_of_a_metric_model_or_of_a_calibration_and_never_made_up(
        self, tmp_path: Path
    ) -> None:
        values = merged(tmp_path / "metric", unit_m=True)
        np.testing.assert_allclose(vda.open_depth(tmp_path / "metric").metres[1], values[1], atol=1e-3)
        scene = tmp_path / "scene"
        values = merged(scene / "vda_merged_depth")
        (scene / "scene.json").write_text("{}")
        with pytest.raises(vda.VdaError, match="no metres"):
            _ = vda.open_depth(scene).metres
        plain = vda.open_depth(scene)
        made_for = Fingerprint.of(plain.frames, plain.frame)
        save_calibration(Calibration(0.5, 0.25, made_for=made_for), scene / "calibration.json")
        calibrated = vda.open_depth(scene).metres
        assert (calibrated.kind, calibrated.unit) == ("depth", "metre")
        np.testing.assert_allclose(calibrated[2], 1 / (0.5 * values[2] + 0.25), rtol=1e-4)

    @pytest.mark.parametrize("name", ["nothing", "empty"])
    def test_what_is_no_depth_is_refused(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(vda.VdaError):
            vda.open_depth(tmp_path / name)


def test_a_video_to_depth_in_one_call_and_stage_by_stage_are_the_same(tmp_path: Path) -> None:
    video, weights = make_video(tmp_path / "film.mp4", 40), make_weights(tmp_path / "mini.safetensors")
    network: dict[str, Any] = {
        "model": "mini",
        "weights": weights,
        "input_size": INPUT_SIZE,
        "devices": "cpu",
        "threads": 1,
    }
    whole = vda.depth(video, tmp_path / "one", frames=(2, 36), create_video=False, on="inline", **network)
    scene = vda.plan(video, tmp_path / "two", frames=(2, 36), chunks=2)
    assert len(scene.plan.chunks) == 2 and scene.status["state"] == "planned"
    vda.run(tmp_path / "two", on="inline", **network)
    again = vda.merge(tmp_path / "two", format=["png16", "npz"])
    assert list(whole.frames) == list(range(2, 36)) and scene.status["state"] == "merged"
    np.testing.assert_array_equal(whole[:], again[:])
    np.testing.assert_array_equal(whole[:], scene.depth[:])
    # By the clip's own clock: frame n is shown after n / 25 s.
    assert whole.times is not None and whole.times == pytest.approx(np.arange(2, 36) / 25, abs=1e-3)
    with pytest.raises(vda.VdaError, match="there already"):
        vda.merge(tmp_path / "two", format="npz")


def test_the_model_takes_tensors() -> None:
    torch = pytest.importorskip("torch")
    model = vda.load_model("mini")
    assert not model.training
    with torch.inference_mode():
        assert model(torch.zeros(1, 32, 3, 32, 48)).shape == (1, 32, 32, 48)
    with pytest.raises(vda.VdaError, match="no model called"):
        vda.load_model("vitz")


def test_the_readmes_example_runs(tmp_path: Path) -> None:
    """On the sample, with the built-in model and few frames: only these words are changed."""
    text = (ROOT / "README.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert 15 <= len(code.splitlines()) <= 25
    for name in ("sample.mp4", "sample_tracks.json"):
        (tmp_path / name).symlink_to(ROOT / "data" / name)
    code = code.replace("data/sample", "sample").replace('"data/film"', '"film"')
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=user_s_environment(),
    )
    assert told.returncode == 0, told.stderr
    assert "m away" in told.stdout


def test_the_longer_example_runs(tmp_path: Path) -> None:
    script = ROOT / "docs" / "examples" / "depth_and_tracks.py"
    sample = [str(ROOT / "data" / name) for name in ("sample.mp4", "sample_tracks.json")]
    command = [sys.executable, "-W", "error", str(script), *sample, str(tmp_path), "--known-size", "1.755,person"]
    told = subprocess.run(command, capture_output=True, text=True, env=user_s_environment())
    assert told.returncode == 0, told.stderr
    assert np.load(tmp_path / "window.npy").shape == (8, 360, 640)
    assert any(
        "vda_position_3d" in record for record in json.loads((tmp_path / "tracks_3d.json").read_text())["tracks"]
    )
