"""Poor surroundings: a closed output, no home, no cache, a locale of ASCII alone, names of any bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from clips import make_clip

from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split

pytestmark = pytest.mark.whole

# Each command begins after a word that is a semicolon.
IN_TURN = """
import sys
from vda.cli import main

commands = []
for word in sys.argv[1:]:
    if word == ";":
        commands.append([])
    else:
        commands[-1].append(word)
for command in commands:
    try:
        main(command, prog_name="vda")
    except SystemExit as end:
        if end.code:
            raise SystemExit(f"{command[0]} ended with {end.code}")
"""


def vda(*commands: list[object], cwd: Path, **environment: str | None) -> subprocess.CompletedProcess[bytes]:
    """Run the commands one after the other in one process; what is None is not in its environment."""
    everything = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    words = [word for command in commands for word in (";", *map(str, command))]
    return subprocess.run(
        [sys.executable, "-c", IN_TURN, *words],
        capture_output=True,
        cwd=cwd,
        env={name: value for name, value in everything.items() if value is not None},
    )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("surroundings")
    video = make_clip(folder / "v.mp4", range(200))
    split(video, Scene(folder / "scene"), PlanSettings(chunks=3))
    return folder / "scene"


@pytest.mark.parametrize("command", ["status", "monitor --once", "--help"])
@pytest.mark.parametrize("reader", ["head -n 1", "true"])
def test_a_reader_that_has_enough_gets_no_traceback(scene: Path, command: str, reader: str) -> None:
    place = scene if command.split()[0] in ("status", "monitor") else ""
    line = f"set -o pipefail; {sys.executable} -m vda {command} {place} | {reader}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert "Traceback" not in done.stderr and "Broken" not in done.stderr and "Exception" not in done.stderr
    assert done.returncode in (0, 1)


def test_work_goes_on_when_nobody_reads_how_it_goes(tmp_path: Path) -> None:
    video = make_clip(tmp_path / "v.mp4", range(40))
    command = f"{sys.executable} -m vda split {video} --scene {tmp_path / 'scene'} --chunks 2 --devices cpu"
    done = subprocess.run(["bash", "-c", f"{command} 2>&1 >/dev/null | true; exit ${{PIPESTATUS[0]}}"])
    assert done.returncode == 0
    assert len(Scene(tmp_path / "scene").plan().chunks) == 2


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        (b"caf\xe9", {"LC_ALL": "C"}),
        ("日本 é".encode(), {"PYTHONIOENCODING": "ascii"}),
        (b"plain", {"HOME": None, "USER": None, "LOGNAME": None, "XDG_CACHE_HOME": "/dev/null"}),
    ],
)
def test_a_film_becomes_depth_in_any_surroundings(
    tmp_path: Path, name: bytes, environment: dict[str, str | None]
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    folder.mkdir()
    make_clip(tmp_path / "v.mp4", range(36)).rename(folder / os.fsdecode(name + b".mp4"))
    root, tracks = folder / "data" / os.fsdecode(name), folder / os.fsdecode(name + b".txt")
    tracks.write_text("1,1,10,10,20,20,1,1,1\n2,1,11,10,20,20,1,1,1\n")
    commands: list[list[object]] = [
        ["depth", f"{os.fsdecode(name)}.mp4", "--model", "mini", "--input-size", 28, "--devices", "cpu",
         "--on", "inline", "--threads", 1, "--create-video", "--format", "png16", "--format", "exr"],
        ["status", root],
    ]  # fmt: skip
    if name == b"caf\xe9":
        space = ["--fov", 60, "--allow-relative", "--output"]
        commands += [
            ["report", root],
            ["enrich", root, "--tracks", tracks, *space, tracks.with_suffix(".out.txt")],
            *(["export", root, "--to", to, *space, folder / to] for to in ("ply", "cameras")),
            ["clean", root],
        ]
    done = vda(*commands, cwd=folder, HF_HUB_OFFLINE="1", **environment)
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert (root / "report.html").is_file()
    assert len(list((root / "vda_merged_depth").glob("*.png"))) == 36


def test_who_has_neither_a_home_nor_a_name_keeps_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user by number alone, as containers give them: Python finds no home then, and ``getpass`` no name."""

    def nobody(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    plan = split(make_clip(tmp_path / "v.mp4", range(8)), Scene(tmp_path / "scene"), PlanSettings(chunks=1))
    assert len(plan.frames) == 8
