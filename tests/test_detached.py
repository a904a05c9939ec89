"""Work without a terminal: as a service of a (recorded) systemd, and for real in a session of its own."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from depth_runs import check, depth_digest, make_video, make_weights, run_options, vda, vda_here

from vda.api.pipeline import plan_scene
from vda.cli import main
from vda.errors import SceneError
from vda.launch import detached
from vda.launch.detached import detach
from vda.launch.keeper import keep
from vda.launch.units import Unit, UnitLauncher
from vda.machine.locks import exclusive_lock
from vda.scene.runstate import RunFiles, WorkerFiles
from vda.scene.scene import Scene

RUNNER = Path(__file__).parents[1] / "runners" / "run_vda_standalone.sh"

# Writes down what it was called with, and does what systemd would: the command, in the background, with its log.
SYSTEMD_RUN = f"""#!{sys.executable}
import json, os, subprocess, sys
arguments = sys.argv[1:]
with open(os.environ["RECORD"], "a") as record:
    record.write(json.dumps(arguments) + "\\n")
if refusal := os.environ.get("REFUSAL"):
    sys.exit(refusal)
options, command = arguments[:arguments.index("--")], arguments[arguments.index("--") + 1:]
given = dict(option.split("=", 1) for option in options if "=" in option)
log = open([o for o in options if o.startswith("--property=StandardOutput=append:")][0].split(":", 1)[1], "ab")
sets = dict(option.split("=", 2)[1:] for option in options if option.startswith("--setenv="))
subprocess.Popen(command, env={{**os.environ, **sets}}, stdout=log, stderr=log, start_new_session=True)
"""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """A systemd that records; returns what it was asked for so far."""
    folder, record = tmp_path / "bin", tmp_path / "record"
    folder.mkdir()
    (folder / "systemd-run").write_text(SYSTEMD_RUN)
    (folder / "loginctl").write_text('#!/bin/sh\necho "$LINGER"\n')
    (folder / "systemctl").write_text(f'#!/bin/sh\necho "[\\"systemctl\\", \\"$*\\"]" >> {record}\n')
    for program in folder.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(record))
    monkeypatch.setenv("LINGER", "no")
    return lambda: [json.loads(line) for line in record.read_text().splitlines()]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("detached")
    return make_video(folder / "film.mp4", 50), make_weights(folder / "w.safetensors")


def wait_for(path: Path) -> None:
    """Until ``path`` is there; a test's own time limit ends what hangs."""
    while not path.exists():
        signal.sigtimedwait([], 0.05)


class TestService:
    def test_it_is_a_service_that_comes_back(self, systemd: Callable[[], list[list[str]]], tmp_path: Path) -> None:
        answer = detach(["touch", str(tmp_path / "done")], "vda-film", tmp_path / "log", tmp_path / "lock")
        wait_for(tmp_path / "done")
        (asked,) = systemd()
        assert answer.service == "vda-film"
        assert {"--user", "--unit=vda-film", "--property=OOMPolicy=continue"} <= set(asked)
        assert {"--property=Restart=on-failure", "--property=RestartPreventExitStatus=1 2 130"} <= set(asked)
        assert f"--setenv={detached.UNITS_VARIABLE}=1" in asked
        assert "--scope" not in asked
        assert not any(process.name() == "touch" for process in psutil.Process().children())

    @pytest.mark.parametrize(("linger", "said"), [("no", "loginctl enable-linger"), ("yes", "lingering is on")])
    def test_lingering_is_looked_at(
        self, systemd: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linger: str, said: str
    ) -> None:
        monkeypatch.setenv("LINGER", linger)
        answer = detach(["true"], "vda-film", tmp_path / "log", tmp_path / "lock")
        assert said in answer.sentences[1]

    def test_the_same_work_is_not_started_twice(
        self, systemd: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REFUSAL", "Failed to start transient service unit: Unit vda-film was already loaded")
        with pytest.raises(SceneError, match="already goes on"):
            detach(["true"], "vda-film", tmp_path / "log", tmp_path / "lock")

    def test_each_worker_is_a_unit(self, systemd: Callable[[], list[list[str]]], tmp_path: Path) -> None:
        files = WorkerFiles(tmp_path / "vda_run", "cpu-1")
        files.folder.mkdir(parents=True)
        launched = UnitLauncher().start(tmp_path / "vda_run", "cpu-1", tmp_path / "log", {"SOME": "thing"})
        wait_for(files.folder / "exit_code")
        while launched.exit_code() is None:
            pass
        # It finds no settings, and ends as a late comer does.
        assert launched.exit_code() == 1
        launched.kill()
        asked, ended = systemd()
        assert {"--unit=vda-worker-cpu-1", "--property=OOMPolicy=continue", "--setenv=SOME=thing"} <= set(asked)
        assert ended == ["systemctl", "--user kill --signal=SIGKILL vda-worker-cpu-1"]

    @pytest.mark.parametrize(
        ("text", "code"),
        [("0", 0), ("3", 3), ("137", -9), ("139", -11), ("", None), ("\0\0", None), ("\udcff", None)],
    )
    def test_exit_codes_come_through_the_shell(self, tmp_path: Path, text: str, code: int | None) -> None:
        (tmp_path / "exit_code").write_bytes(os.fsencode(text))
        assert Unit("u", WorkerFiles(tmp_path, "w"), tmp_path / "exit_code").exit_code() == code

    def test_a_unit_that_vanished_with_its_shell_was_killed(self, tmp_path: Path) -> None:
        files = WorkerFiles(tmp_path, "w")
        unit = Unit("u", files, tmp_path / "exit_code")
        with exclusive_lock(files.alive_lock):
            assert unit.exit_code() is None
        assert unit.exit_code() is None
        while unit.exit_code() is None:
            signal.sigtimedwait([], 0.05)
        assert unit.exit_code() == -signal.SIGKILL


class TestKeeper:
    def test_what_dies_is_started_again_until_it_ends_by_itself(self, tmp_path: Path) -> None:
        code = f"p = {str(tmp_path / 'n')!r}; n = len(open(p, 'a+').read() or open(p).read())"
        code += "; open(p, 'a').write('x'); import os; os.kill(os.getpid(), 9) if n < 1 else exit(1)"
        assert keep([sys.executable, "-c", code]) == 1
        assert (tmp_path / "n").read_text() == "xx"

    def test_work_goes_on_though_its_keeper_is_killed(self, tmp_path: Path) -> None:
        begun, release, lock = tmp_path / "begun", tmp_path / "release", tmp_path / "lock"
        waits = f"touch {begun}; until test -e {release}; do sleep 0.05; done; touch {tmp_path}/done"
        keeper = [sys.executable, "-m", "vda.launch.keeper", lock, "/bin/sh", "-c", waits]
        with subprocess.Popen([*map(str, keeper)], start_new_session=True) as process:
            wait_for(begun)
            process.kill()
        # Whoever starts it again now has to find by the work itself that it goes on (``--detach`` asks the scene).
        assert not detached.lock_is_held(lock)
        release.touch()
        wait_for(tmp_path / "done")


@pytest.mark.parametrize("command", ["run", "depth"])
def test_what_goes_on_without_its_keeper_is_not_begun_twice(
    files: tuple[Path, Path], tmp_path: Path, command: str
) -> None:
    scene = Scene(tmp_path / "scene")
    plan_scene(files[0], scene.root)
    with exclusive_lock(RunFiles(scene.run_dir).supervisor_lock):
        asked = [command, scene.root] if command == "run" else [command, files[0], "--scene", scene.root]
        refused = CliRunner().invoke(main, [*map(str, asked), "--detach"])
    assert refused.exit_code == 2
    assert "is already being computed by process" in refused.stderr and "vda stop" in refused.stderr
    assert not scene.detached_log_path.exists()


def test_it_outlives_the_shell_its_group_and_its_terminal(files: tuple[Path, Path], tmp_path: Path) -> None:
    video, weights = files
    scene = tmp_path / "scene"
    options = " ".join(map(str, [*run_options(weights), "--devices", "cpu", "--no-video", "--chunks", 1]))
    command = f"{sys.executable} -m vda depth {video} --scene {scene} {options} --detach; echo told; sleep 60"
    shell, terminal = pty.fork()
    if shell == 0:
        os.execve("/bin/sh", ["sh", "-c", command], {**os.environ, "OMP_NUM_THREADS": "1"})
    said = b""
    while b"told" not in said:
        said += os.read(terminal, 4096)
    assert b"session of its own" in said and b"vda status" in said
    os.killpg(os.getpgid(shell), signal.SIGHUP)
    os.killpg(os.getpgid(shell), signal.SIGKILL)
    os.close(terminal)
    os.waitpid(shell, 0)
    wait_for(scene / "vda_merged_depth" / "depth.json")
    assert len(depth_digest(scene)) == 50
    # The keeper ends with its work.
    while detached.lock_is_held(scene / "detached.lock"):
        signal.sigtimedwait([], 0.05)


@pytest.mark.parametrize("command", ["run", "depth"])
def test_what_cannot_work_is_refused_before_it_is_out_of_sight(tmp_path: Path, command: str) -> None:
    (tmp_path / "film.mp4").write_text("no film")
    result = vda(command, tmp_path / "film.mp4", "--detach", cwd=tmp_path)
    assert result.returncode == 2
    assert "Error: " in result.stderr
    assert not list(tmp_path.rglob("detached.log"))


@pytest.mark.parametrize(
    ("given", "scene"),
    [("film.mp4", "film"), ("frames", "frames"), ("frames/shot_2.%04d.png", "shot_2"), ("frames/*.png", "frames")],
)
def test_the_standalone_runner_calls_the_scene_after_its_video(tmp_path: Path, given: str, scene: str) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "film.mp4").write_bytes(b"")
    (tmp_path / "vda").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "vda").chmod(0o755)
    environment = {**os.environ, "VDA": str(tmp_path / "vda")}
    called = subprocess.run(
        [RUNNER, given], capture_output=True, text=True, env=environment, cwd=tmp_path, check=True
    ).stdout.splitlines()
    data = RUNNER.parents[1] / "data"
    assert called == ["depth", str(tmp_path / given), "--scene", str(data / scene), "--detach", "--if-idle"]


def test_the_standalone_runner_goes_on_and_is_silent_where_one_is_alive(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    video, weights = files
    scene = tmp_path / "scene"
    (scene / "vda_run").mkdir(parents=True)
    program = tmp_path / "vda"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m vda "$@"\n')
    program.chmod(0o755)
    arguments = [RUNNER, video, "--scene", scene, *run_options(weights), "--devices", "cpu", "--no-video"]

    def start() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "VDA": str(program), "OMP_NUM_THREADS": "1"}
        return subprocess.run([*map(str, arguments)], capture_output=True, text=True, env=environment, cwd="/")

    with exclusive_lock(scene / "detached.lock"):
        alive = start()
    assert (alive.returncode, alive.stdout, alive.stderr) == (0, "", "")
    started = start()
    assert started.returncode == 0 and "session of its own" in started.stdout
    while detached.lock_is_held(scene / "detached.lock") or not (scene / "vda_merged_depth/depth.json").exists():
        signal.sigtimedwait([], 0.05)
    assert len(depth_digest(scene)) == 50
    assert check(vda_here("status", scene, "--json")).stdout.count('"state": "merged"') == 1
