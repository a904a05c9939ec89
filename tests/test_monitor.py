"""The live view: what is seen of devices and files, the lines it becomes, and the terminal it is shown on."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pynvml
import pytest
from fake_nvml import GIB, Card, Error, FakeNvml, a100, gtx_1660_ti, process, rtx_2060

from vda.errors import SceneError
from vda.machine.devices import Device, DeviceReading, Inventory
from vda.machine.host import HostMemory
from vda.machine.locks import exclusive_lock
from vda.scene.chunks import plan_linked
from vda.scene.runstate import Pause, RunFiles, WorkerState
from vda.scene.scene import Scene
from vda.supervisor.monitor import Observation, ObservedDevice, observe, render

pytestmark = pytest.mark.whole

GPU = "GPU_16600000_aaaa_4bbb_8ccc_0123456789ab"
MEMORY = HostMemory(24 * GIB, 18 * GIB, 0.25)


def inventory(cards: list[Card], start: Error | None = None) -> Inventory:
    return Inventory(FakeNvml(cards, start), {}, user="me", owner_of={200: "alice"}.get)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """300 frames: 14 windows in chunks of 4, 5 and 5."""
    scene = Scene(tmp_path / "film")
    scene.root.mkdir()
    scene.video_path.write_text("{}")
    scene.write_plan(plan_linked(300, 3), {"input_path": "film.mp4"})
    scene.windows_dir.mkdir()
    return scene


@pytest.fixture
def run_on(scene: Scene) -> Iterator[Any]:
    """Pretend, by the files alone, that a supervisor and workers on some devices live."""
    with ExitStack() as locks:

        def start(paces: dict[str, float] | None = None, **chunk_by_device: int) -> None:
            files = RunFiles(scene.run_dir)
            locks.enter_context(exclusive_lock(files.supervisor_lock))
            for place, (device, chunk) in enumerate(chunk_by_device.items()):
                worker = files.worker(f"worker-{place}")
                worker.folder.mkdir(parents=True)
                locks.enter_context(exclusive_lock(worker.alive_lock))
                state = WorkerState(worker.name, device.replace("_", "-"), 1, 0.0, "computing")
                pace = (paces or {}).get(device)
                seen = replace(state, scene=str(scene.root), chunk=chunk, seconds_per_window=pace)
                seen.write(worker.state_path)

        yield start


class TestObserve:
    def test_every_gpu_and_no_scene(self) -> None:
        seen = observe(inventory([rtx_2060(), a100()]))
        assert [view.device.name for view in seen.devices] == ["NVIDIA GeForce RTX 2060", "NVIDIA A100-SXM4-40GB"]
        assert [view.reading.temperature_c for view in seen.devices] == [51, 64]
        assert seen.status is None
        assert seen.memory.total_bytes > 0
        assert seen.disk_free_bytes > 0

    def test_without_gpus_it_shows_the_cpu(self) -> None:
        assert [view.device.id for view in observe(inventory([])).devices] == ["cpu"]

    def test_a_broken_driver_is_said(self) -> None:
        broken = inventory([], Error(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
        assert any("driver does not answer" in line for line in render(observe(broken), 200, 50))

    def test_frames_a_second_of_each_device(self, scene: Scene, run_on: Any) -> None:
        run_on({"cpu": 11.0, GPU: 2.0}, cpu=1, **{GPU: 2})
        seen = observe(inventory([gtx_1660_ti(0), gtx_1660_ti(1)]), scene)
        # A window settles 22 frames: in 11 s that is 2 a second, in 2 s it is 11.
        assert [(view.device.id[:9], view.chunk) for view in seen.devices] == [
            ("GPU-16600", 2),
            ("GPU-16600", None),
            ("cpu", 1),
        ]
        assert seen.devices[0].fps == pytest.approx(11)
        assert seen.devices[1].fps is None
        assert seen.devices[2].fps == pytest.approx(2)

    def test_what_is_shown_is_the_status_own(self, scene: Scene, run_on: Any) -> None:
        run_on({"cpu": 60.0}, cpu=1)
        # 14 windows of a minute each.
        shown = render(observe(inventory([]), scene), 200, 50)
        assert any(line.endswith("0.36 frames/s, 14 min left") for line in shown)

    def test_before_the_first_window_there_is_no_pace(self, scene: Scene, run_on: Any) -> None:
        run_on(cpu=1)
        seen = observe(inventory([]), scene)
        assert (seen.devices[0].chunk, seen.devices[0].fps) == (1, None)
        assert not any(" left" in line for line in render(seen, 200, 50))

    def test_why_it_pauses_is_shown(self, scene: Scene, run_on: Any) -> None:
        run_on(cpu=1)
        Pause("the disk is full", time.time()).write(RunFiles(scene.run_dir).pause_path)
        assert "paused: the disk is full" in render(observe(inventory([]), scene), 200, 50)

    def test_a_pause_of_a_run_that_was_killed_is_over(self, scene: Scene) -> None:
        Pause("the disk is full", time.time()).write(RunFiles(scene.run_dir).pause_path)
        assert not any("paused" in line for line in render(observe(inventory([]), scene), 200, 50))

    def test_a_worker_on_a_card_that_is_lost_is_still_shown(self, scene: Scene, run_on: Any) -> None:
        run_on(GPU_gone=0)
        lines = render(observe(inventory([rtx_2060()]), scene), 200, 50)
        assert any("no longer known to the driver" in line for line in lines)

    def test_a_folder_that_is_no_scene(self, tmp_path: Path) -> None:
        with pytest.raises(SceneError):
            observe(inventory([]), Scene(tmp_path))


def view(**reading: Any) -> ObservedDevice:
    return ObservedDevice(Device("GPU-1", "cuda", "A100", index=0), DeviceReading(**reading), chunk=3, fps=12.5)


def chunk(index: int, state: str, **values: Any) -> dict[str, Any]:
    empty = {"device": None, "attempts": 0, "frames_done": 0, "frames_total": 110, "error": None}
    return {"index": index, "state": state, **empty, **values}


def status(chunks: list[dict[str, Any]], **values: Any) -> dict[str, Any]:
    return {
        "scene": "data/film",
        "state": "running",
        "frames_total": 400,
        "frames_done": 100,
        "model": "vits",
        "precision_reason": "float16, the best that every device passes.",
        "fps": 0.25,
        "eta_seconds": 1200.0,
        "chunks": chunks,
        **values,
    }


def lines(*views: ObservedDevice, scene_status: dict[str, Any] | None = None, height: int = 60) -> list[str]:
    return render(Observation(0.0, views, MEMORY, 80 * GIB, (), scene_status), 200, height)


class TestRender:
    def test_the_host(self) -> None:
        assert lines()[1] == "host memory 6.0 of 24.0 GiB used, disk 80.0 GiB free"

    def test_a_device_with_all_its_figures(self) -> None:
        full = view(
            utilisation_percent=97,
            memory_used_bytes=10 * GIB,
            memory_total_bytes=40 * GIB,
            temperature_c=83,
            power_w=390.4,
            power_limit_w=400.0,
            throttling=("heat", "power limit"),
        )
        assert " ".join(lines(full)[-1].split()) == (
            "GPU 0 (A100) 97 % 10.0 of 40.0 GiB 83 C 390 of 400 W 12.50 frames/s chunk 3"
            " throttled: heat, power limit"
        )

    def test_what_is_not_told_is_a_dash(self) -> None:
        assert " ".join(lines(view())[-1].split()) == "GPU 0 (A100) - - - - 12.50 frames/s chunk 3"

    def test_a_lost_card_says_so_and_nothing_else(self) -> None:
        assert lines(view(problem="has fallen off the bus"))[-1] == "GPU 0 (A100)  has fallen off the bus"

    def test_other_peoples_processes(self) -> None:
        cards = inventory([a100(nvmlDeviceGetComputeRunningProcesses=[process(200), process(7)])])
        (device,) = cards.list_devices()
        assert "2 processes of others" in lines(ObservedDevice(device, cards.reading(device)))[-1]

    def test_the_scene(self) -> None:
        shown = lines(scene_status=status([]))
        assert "data/film: running, 100 of 400 frames (25%), 0.25 frames/s, 20 min left" in shown
        assert "model vits, in float16, the best that every device passes." in shown

    def test_no_pace_no_promise(self) -> None:
        shown = lines(scene_status=status([], state="incomplete", fps=None, eta_seconds=None))
        assert "data/film: incomplete, 100 of 400 frames (25%)" in shown

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [(5.4, "5 s"), (119.0, "119 s"), (120.0, "2 min"), (7199.0, "119 min"), (47100.0, "13 h 5 min")],
    )
    def test_time_left(self, seconds: float, words: str) -> None:
        assert any(
            line.endswith(f", {words} left") for line in lines(scene_status=status([], eta_seconds=seconds))
        )

    def test_chunks(self) -> None:
        shown = lines(
            scene_status=status(
                [
                    chunk(0, "done", frames_done=110, error="it hung and was ended"),
                    chunk(1, "running", device="GPU-1", frames_done=44),
                    chunk(2, "failed", attempts=4, error="out of memory"),
                    chunk(3, "waiting"),
                ]
            )
        )
        assert [" ".join(line.split()) for line in shown[-4:]] == [
            "chunk 0 110 of 110 frames done",
            "chunk 1 44 of 110 frames running on GPU-1",
            "chunk 2 0 of 110 frames failed, 4 attempts: out of memory",
            "chunk 3 0 of 110 frames waiting",
        ]

    def test_a_small_terminal_shows_what_matters_and_counts_the_rest(self) -> None:
        many = [chunk(i, "done") for i in range(90)] + [chunk(90, "running", device="cpu"), chunk(91, "failed")]
        shown = lines(scene_status=status(many), height=12)
        assert len(shown) == 12
        assert [line.split()[1] for line in shown if line.startswith("chunk")][:2] == ["90", "91"]
        left_out = 92 - sum(line.startswith("chunk") for line in shown)
        assert shown[-1] == f"and {left_out} more chunks: {left_out} done"

    def test_nothing_is_wider_or_higher_than_the_terminal(self) -> None:
        many = [chunk(i, "failed", error="x" * 300) for i in range(50)]
        seen = Observation(0.0, (view(), view()), MEMORY, 80 * GIB, (), status(many))
        for width, height in ((80, 24), (20, 3), (1, 1)):
            shown = render(seen, width, height)
            assert len(shown) <= height
            assert max(map(len, shown)) <= width


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from vda.cli import main; main()", "monitor", *map(str, arguments)]


class TestCommand:
    def test_once(self, scene: Scene) -> None:
        for k in range(4):
            scene.window_path((0, k)).touch()
        shown = subprocess.run(command("--once", scene.root), capture_output=True, text=True, check=True).stdout
        assert "host memory" in shown
        assert "of 300 frames" in shown
        assert "\033" not in shown

    def test_json(self, scene: Scene) -> None:
        shown = subprocess.run(command("--json", scene.root), capture_output=True, text=True, check=True).stdout
        record = json.loads(shown)
        assert record["status"]["frames_total"] == 300
        assert record["devices"]

    def test_no_scene_there(self, tmp_path: Path) -> None:
        shown = subprocess.run(command("--once", tmp_path), capture_output=True, text=True, check=False)
        assert shown.returncode == 2
        assert "Traceback" not in shown.stderr

    @pytest.mark.parametrize(
        ("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
    )
    def test_the_terminal_is_left_as_it_was_found(self, scene: Scene, ending: signal.Signals, code: int) -> None:
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            command("--interval", "0.1", scene.root), stdout=theirs, stderr=theirs, start_new_session=True
        ) as process:
            os.close(theirs)
            seen = b""
            while seen.count(b"host memory") < 2:
                seen += os.read(ours, 4096)
            process.send_signal(ending)
            assert process.wait(timeout=240) == code
        while True:
            try:
                seen += os.read(ours, 4096)
            except OSError:  # the other end is closed, and all is read
                break
        os.close(ours)
        assert seen.startswith(b"\033[?1049h\033[?25l")
        assert seen.endswith(b"\033[?25h\033[?1049l")
        assert b"Traceback" not in seen

    @pytest.mark.parametrize("key", [b"q", b"Q"])
    def test_q_ends_it(self, scene: Scene, key: bytes) -> None:
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            # Longer than the test may take: it is the key that ends the wait.
            command("--interval", "600", scene.root),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            seen = b""
            while b"host memory" not in seen:
                seen += os.read(ours, 4096)
            os.write(ours, b"x" + key)
            try:
                assert process.wait(timeout=240) == 0
            finally:
                process.kill()
        os.close(ours)
