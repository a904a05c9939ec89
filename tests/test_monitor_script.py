"""runners/monitor_vda.sh, run by the shell with a stand-in for nvidia-smi on its PATH, and without any."""

import os
import pty
import shutil
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

from vda.scene.chunks import Plan, plan_linked
from vda.scene.scene import Scene

SCRIPT = Path(__file__).parents[1] / "runners" / "monitor_vda.sh"
TOOLS = ("awk", "cut", "date", "dd", "find", "sed", "sh", "sleep", "stat", "stty", "tail", "timeout", "tput", "tr")
FIVE_CARDS = "".join(
    f"{n}, NVIDIA GeForce GTX 1660 Ti, {90 + n}, {5000 + n}, 6144, {70 + n}, 11{n}.53\n" for n in range(5)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder for PATH with the tools of any machine, and no nvidia-smi."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    return folder


def put_nvidia_smi(path: Path, answer: str, exit_code: int = 0) -> None:
    (path / "answer").write_text(answer)
    stand_in = path / "nvidia-smi"
    stand_in.write_text(f'#!/bin/sh\necho "$*" >"{path}/asked"\ncat "{path}/answer"\nexit {exit_code}\n')
    stand_in.chmod(0o755)
    if not (path / "cat").exists():
        (path / "cat").symlink_to(shutil.which("cat") or "/bin/cat")


def make_scene(folder: Path, plan: Plan, finished: list[int], seconds_each: int = 0) -> Scene:
    """A planned scene whose windows ``finished`` of sequence 0 are there, the last of them written just now."""
    scene = Scene(folder)
    scene.write_plan(plan, {"input_path": "video.mp4", "fps": 25.0})
    scene.windows_dir.mkdir()
    now = time.time()
    for place, k in enumerate(finished):
        window = scene.window_path((0, k))
        window.write_bytes(b"")
        then = now - seconds_each * (len(finished) - 1 - place)
        os.utime(window, (then, then))
    return scene


def run(path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(SCRIPT), *map(str, arguments)]
    environment = {"PATH": str(path), "LC_ALL": "C"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def test_gpus(path: Path) -> None:
    put_nvidia_smi(path, FIVE_CARDS)
    shown = run(path, "--once")
    assert shown.returncode == 0
    cards = [line.split() for line in shown.stdout.splitlines() if line.startswith("GPU")]
    assert len(cards) == 5
    assert " ".join(cards[3]) == "GPU 3 NVIDIA GeForce GTX 1660 Ti 93 % 5003 of 6144 MiB 73 C 114 W"
    asked = (path / "asked").read_text()
    assert "index,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw" in asked


def test_what_a_card_does_not_tell_is_a_dash(path: Path) -> None:
    put_nvidia_smi(path, "0, NVIDIA T500, [N/A], 10, 4096, 50, [Not Supported]\n")
    shown = run(path, "--once").stdout
    assert " ".join(shown.splitlines()[1].split()) == "GPU 0 NVIDIA T500 - 10 of 4096 MiB 50 C -"


def test_a_lost_card_is_shown_in_nvidia_smis_words_beside_the_others(path: Path) -> None:
    lost = "Unable to determine the device handle for GPU 0000:0B:00.0: GPU is lost.  Reboot the system\n"
    put_nvidia_smi(path, FIVE_CARDS.splitlines(keepends=True)[0] + lost, exit_code=15)
    shown = run(path, "--once")
    assert shown.returncode == 0
    assert "GPU is lost" in shown.stdout
    assert "90 %" in shown.stdout


def test_without_nvidia_smi_the_scene_is_shown_all_the_same(path: Path, tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scene", plan_linked(300, 3), [0, 1])
    shown = run(path, "--once", scene.root).stdout
    assert "No nvidia-smi here" in shown
    assert "chunk 00" in shown


def test_chunks_windows_and_logs(path: Path, tmp_path: Path) -> None:
    # 300 frames are 14 windows: chunks of 4, 5 and 5.
    scene = make_scene(tmp_path / "a scene", plan_linked(300, 3), [0, 1, 2, 3, 5, 13])
    (scene.windows_dir / ".tmp-0123-window_000_00006.npz").write_bytes(b"")
    (scene.windows_dir / "run.json").write_text("{}")
    scene.logs_dir.mkdir()
    scene.chunk_log_path(0).write_text("first\nwindow 0/3 computed\n")
    scene.chunk_log_path(1).write_text("loading\n\033[2Jcolourful")
    lines = [" ".join(line.split()) for line in run(path, "--once", scene.root).stdout.splitlines()]
    assert lines[-4:-1] == [
        "chunk 00 4 of 4 windows window 0/3 computed",
        "chunk 01 1 of 5 windows [2Jcolourful",
        "chunk 02 1 of 5 windows",
    ]
    assert lines[-1].startswith("in all 6 of 14 windows")


def test_several_sequences_are_told_apart(path: Path, tmp_path: Path) -> None:
    plan = plan_linked(200, 2, shots=[(0, 100), (100, 200)])
    scene = make_scene(tmp_path / "scene", plan, [0, 1])
    scene.window_path((1, 4)).write_bytes(b"")
    lines = [" ".join(line.split()) for line in run(path, "--once", scene.root).stdout.splitlines()]
    assert lines[-3:-1] == ["chunk 00 2 of 5 windows", "chunk 01 1 of 5 windows"]


def test_time_left_is_the_present_pace_over_what_remains(path: Path, tmp_path: Path) -> None:
    # By a clock that stands still, for each second of waiting counts for five.
    (path / "date").unlink()
    (path / "date").write_text(f"#!/bin/sh\necho {int(time.time())}\n")
    (path / "date").chmod(0o755)
    # Nine windows, one every 30 s; 41 remain: 1230 s, which is 20 minutes.
    scene = make_scene(tmp_path / "scene", plan_linked(1100, 4), list(range(9)), seconds_each=30)
    assert "20 min left" in run(path, "--once", scene.root).stdout


def test_no_pace_no_promise(path: Path, tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scene", plan_linked(300, 3), [0])
    assert "time left not known yet" in run(path, "--once", scene.root).stdout


def test_before_the_first_window(path: Path, tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scene", plan_linked(300, 3), [])
    shutil.rmtree(scene.windows_dir)
    shown = run(path, "--once", scene.root)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "0 of 14 " in shown.stdout


def test_complete(path: Path, tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scene", plan_linked(300, 3), list(range(14)))
    assert "complete" in run(path, "--once", scene.root).stdout.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["--bogus"], ["--interval"], ["--interval", "fast"], ["one", "two"]])
def test_wrong_usage(path: Path, arguments: list[str]) -> None:
    shown = run(path, *arguments)
    assert shown.returncode == 2
    assert shown.stderr.startswith("usage: ")


def test_help(path: Path) -> None:
    shown = run(path, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("usage: runners/monitor_vda.sh")


def test_no_scene(path: Path, tmp_path: Path) -> None:
    shown = run(path, "--once", tmp_path)
    assert shown.returncode == 2
    assert "vda split" in shown.stderr


def hang_up_by_default() -> None:
    """Under nohup the tests ignore SIGHUP, and a shell cannot trap what was ignored when it began."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_terminal_is_left_as_it_was_found(path: Path, tmp_path: Path, ending: signal.Signals, code: int) -> None:
    scene = make_scene(tmp_path / "scene", plan_linked(300, 3), [0, 1])
    put_nvidia_smi(path, FIVE_CARDS)
    ours, theirs = pty.openpty()
    command = ["sh", str(SCRIPT), "--interval", "0.1", str(scene.root)]
    environment = {"PATH": str(path), "TERM": "xterm"}
    with subprocess.Popen(
        command, env=environment, stdout=theirs, start_new_session=True, preexec_fn=hang_up_by_default
    ) as process:
        os.close(theirs)
        seen = b""
        while seen.count(b"in all") < 2:
            seen += os.read(ours, 4096)
        process.send_signal(ending)
        try:
            assert process.wait(timeout=240) == code
        finally:
            # Else a script that goes on would be waited for by leaving the block, for ever.
            process.kill()
    while True:
        try:
            seen += os.read(ours, 4096)
        except OSError:  # the other end is closed, and all is read
            break
    os.close(ours)
    assert seen.startswith(b"\033[?1049h\033[?25l")
    assert seen.endswith(b"\033[?25h\033[?1049l")


def test_q_ends_it_and_the_keyboard_is_left_as_it_was_found(path: Path, tmp_path: Path) -> None:
    scene = make_scene(tmp_path, plan_linked(300, 3), [])
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    with subprocess.Popen(
        # It is the key that ends it: whoever waits in vain looks again.
        ["sh", str(SCRIPT), "--interval", "25", str(scene.root)],
        env={"PATH": str(path), "LC_ALL": "C"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        seen = b""
        while b"in all" not in seen:
            seen += os.read(ours, 4096)
        os.write(ours, b"q")
        try:
            assert process.wait(timeout=240) == 0
        finally:
            process.kill()
    assert termios.tcgetattr(theirs) == before
    os.close(theirs)
    os.close(ours)


def test_into_a_file_it_repeats_without_escapes(path: Path, tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scene", plan_linked(300, 3), [0])
    command = ["sh", str(SCRIPT), "--interval", "0.1", str(scene.root)]
    with subprocess.Popen(command, env={"PATH": str(path)}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        blocks = 0
        for line in process.stdout:
            assert "\033" not in line
            blocks += line.startswith("in all")
            if blocks == 3:
                break
        process.terminate()
        process.stdout.read()
        assert process.wait(timeout=240) == 143


def test_names_that_would_move_the_cursor_or_end_a_line_are_shown_as_text(tmp_path: Path, path: Path) -> None:
    folder = tmp_path / "a\nb \x1b[2J \x9b31m"
    scene = make_scene(folder, plan_linked(300, 3), [0, 1])
    put_nvidia_smi(path, "0, Evil \x1b]0;title\x07 GPU, 1, 2, 3, 4, 5.0\n")
    shown = run(path, "--once", scene.root).stdout
    assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert "chunk 00      2 of 4" in shown
