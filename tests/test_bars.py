"""Black bars: what is one for certain, to the pixel, and what only looks like one."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from clips import make_clip, with_bars

from vda.picture.bars import find_bars, is_dark_outside
from vda.picture.framing import Box

pytestmark = pytest.mark.whole

WIDTH, HEIGHT = 320, 180
FRAMES = range(0, 120, 10)


def scene(number: int, seed: int = 0) -> np.ndarray:
    """RGB uint8 [180, 320, 3]: soft blobs of every brightness, moving."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = sum(
        np.sin(
            x[..., None] * rng.uniform(0.01, 0.1, 3) + y[..., None] * rng.uniform(0.01, 0.1, 3) + number / 5 * k
        )
        for k in range(1, 5)
    )
    return np.clip(110 + 45 * waves, 0, 255).astype(np.uint8)


def seen(draw: Callable[[int], np.ndarray]) -> list[np.ndarray]:
    return [draw(number) for number in FRAMES]


def coded(draw: Callable[[int], np.ndarray], path: Path, crf: int) -> list[np.ndarray]:
    clip = make_clip(path, FRAMES, draw=draw, options={"crf": str(crf)})
    with av.open(str(clip)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


BARS = {
    "letterbox": {"top": 30, "bottom": 30},
    "one above only": {"top": 24},
    "unequal": {"top": 12, "bottom": 40},
    "pillarbox": {"left": 60, "right": 60},
    "unequal beside": {"left": 10, "right": 44},
    "window box": {"left": 40, "right": 40, "top": 22, "bottom": 22},
    "thin": {"top": 4, "bottom": 4},
}


@pytest.mark.parametrize("bars", BARS.values(), ids=BARS)
@pytest.mark.parametrize("kind", ["clean", "noisy", "grey", "text"])
def test_bars_are_found_to_the_pixel(bars: dict[str, int], kind: str) -> None:
    how = {"noisy": {"noise": 5.0, "level": 8}, "grey": {"level": 16}, "text": {"text": bars.get("bottom", 0) > 9}}
    pictures = seen(with_bars(scene, **bars, **how.get(kind, {})))  # type: ignore[arg-type]
    assert find_bars(pictures) == Box(bars.get("left", 0), bars.get("top", 0), WIDTH, HEIGHT)


@pytest.mark.parametrize("crf", [23, 40])
def test_lossy_coding_moves_an_edge_by_a_line_at_most(tmp_path: Path, crf: int) -> None:
    found = find_bars(coded(with_bars(scene, top=30, bottom=30, left=21, right=21), tmp_path / "clip.mp4", crf))
    assert found is not None
    # Inwards: a line that is half a bar's must not be taken for the picture's.
    edges = np.array([found.left, found.top, found.left + found.width, found.top + found.height])
    assert ((edges - [21, 30, 21 + WIDTH, 30 + HEIGHT]) * [1, 1, -1, -1]).tolist() == pytest.approx(
        [1] * 4, abs=1.01
    )


def skyline(number: int) -> np.ndarray:
    """A black sky over houses of many heights, the camera moving along."""
    picture = scene(number)
    heights = np.random.default_rng(3).integers(40, 90, 60).repeat(12)[number : number + WIDTH]
    picture[np.arange(HEIGHT)[:, None] < heights] = 0
    return picture


def spot(number: int) -> np.ndarray:
    """A stage with one lit circle."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    lit = np.hypot(x - 160 - number / 8, y - 90) < 60
    return np.where(lit[..., None], scene(number), 0).astype(np.uint8)


def night(number: int) -> np.ndarray:
    """Light falling off towards the top, to black."""
    return (scene(number) * np.linspace(0, 0.6, HEIGHT)[:, None, None] ** 2).astype(np.uint8)


def once_wide(number: int) -> np.ndarray:
    """A film with bars, a part of which fills the picture."""
    return scene(number) if number > 70 else with_bars(lambda n: scene(n)[30:150], top=30, bottom=30)(number)


def black(number: int) -> np.ndarray:
    return np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def sign(number: int) -> np.ndarray:
    """A light picture with a black stripe above, crossed by a pole that goes on into the picture."""
    picture = scene(number)
    picture[:30] = 0
    picture[:, 10:60] = 200
    return picture


@pytest.mark.parametrize(
    "draw", [scene, skyline, spot, night, once_wide, black, sign], ids=lambda draw: draw.__name__
)
def test_what_is_no_bar(draw: Callable[[int], np.ndarray]) -> None:
    assert find_bars(seen(draw)) is None


def test_dark_scenes_do_not_hide_bars() -> None:
    """The first frames are black, and others light only in the middle."""

    def draw(number: int) -> np.ndarray:
        return black(number) if number < 20 else spot(number) if number < 60 else scene(number)

    assert find_bars(seen(with_bars(draw, top=30, bottom=30))) == Box(0, 30, WIDTH, HEIGHT)


def test_a_scene_that_is_too_dark_to_tell_fits_the_films_bars() -> None:
    box = Box(0, 30, WIDTH, HEIGHT)
    assert is_dark_outside(seen(with_bars(spot, top=30, bottom=30, text=True)), box)
    assert not is_dark_outside(
        [np.pad(picture, ((30, 30), (0, 0), (0, 0)), mode="edge") for picture in seen(scene)], box
    )
