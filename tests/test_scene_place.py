"""Where a video's scene goes where nobody says: a folder of its own below ``data``, never the folder above."""

import subprocess
from pathlib import Path

import pytest

from vda.splitting.stage import scene_root

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("video", "scene"),
    [
        ("films/street.mp4", "street"),
        ("my film.final.mov", "my film.final"),
        ("...mp4", "...mp4"),
        ("..mp4", "..mp4"),
        (".mp4", ".mp4"),
        ("....", "...."),
        ("a..mp4", "a."),
    ],
)
def test_a_scene_is_a_folder_below_data(video: str, scene: str) -> None:
    assert scene_root(Path(video), None) == Path("data") / scene
    assert scene_root(Path(video), None).resolve().parent == Path("data").resolve()


def test_make_leaves_the_scene_to_the_program() -> None:
    """By make's rules ``...mp4`` without its ending is ``..``, and ``my film.mp4`` is two names."""
    command = ["make", "-n", "depth", "VIDEO=...mp4"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert 'vda depth "...mp4"' in made.stdout
    assert "--scene" not in made.stdout
