"""How pixels and axes are counted: what the definitions say, and that one file alone knows it."""

import ast
from pathlib import Path

import cv2
import numpy as np
import pytest

from vda.camera.conventions import (
    between_corners,
    centre_to_corner,
    corner_to_centre,
    cropped,
    from_opengl,
    middle,
    resized,
    resizing,
    to_opengl,
    turned,
)

VDA = Path(__file__).parents[1] / "vda"
OWNER = VDA / "camera" / "conventions.py"
MODULES = sorted(path for path in VDA.rglob("*.py") if path != OWNER)
# Halves that are no pixels of a camera: of a thing's length, a cell of noise, a texture's tile, a grey level, a
# view's width; and the resize, which has OpenCV's formula for where a pixel comes from.
OTHER_HALVES = {
    "synth/textures.py", "synth/furniture.py", "synth/outdoors.py", "synth/indoors.py", "synth/setting.py",
    "synth/shading.py", "synth/sins.py", "enriching/figure.py", "depthmaps/codings.py",
    "network/ondevice.py",
}  # fmt: skip
# The names that constants of such conventions are given.
TELLING_WORDS = ("CORNER", "CENTRE", "CENTER", "PIXEL", "OPENGL", "FLIP")


def test_the_first_pixels_centre_is_0_from_its_centre_and_half_a_pixel_from_its_corner() -> None:
    """COLMAP, nerfstudio and COCO: the image covers [0, width], so the first pixel's centre is at 0.5."""
    assert corner_to_centre(0.5) == 0.0
    assert centre_to_corner(0.0) == 0.5
    assert corner_to_centre(np.array([[0.0, 0.0], [640.0, 480.0]])).tolist() == [[-0.5, -0.5], [639.5, 479.5]]


def test_a_mapping_of_pixels_is_used_on_pixels_counted_from_corners() -> None:
    """Twice as far from the first pixel's centre is not twice as far from its corner."""
    assert between_corners(lambda xy: 2 * xy)(np.array([[0.5, 1.5]])).tolist() == [[0.5, 2.5]]


def test_opengls_camera_looks_along_minus_z_with_y_up() -> None:
    """A point before, right of and above an unmoved OpenGL camera is before, right of and above ours."""
    in_opengl, in_ours = np.array([1.0, 2.0, -3.0, 1.0]), np.array([1.0, -2.0, 3.0, 1.0])
    pose = np.array([[0.0, -1.0, 0.0, 5.0], [1.0, 0.0, 0.0, 6.0], [0.0, 0.0, 1.0, 7.0], [0.0, 0.0, 0.0, 1.0]])
    assert (from_opengl(pose) @ in_ours).tolist() == (pose @ in_opengl).tolist()
    assert (to_opengl(pose) @ in_opengl).tolist() == (pose @ in_ours).tolist()


@pytest.mark.parametrize(("size", "new_size"), [((4, 6), (2, 3)), ((3, 2), (12, 4))])
def test_resizing_keeps_the_edges_of_the_image(size: tuple[int, int], new_size: tuple[int, int]) -> None:
    edges = np.array([[-0.5, -0.5], [size[0] - 0.5, size[1] - 0.5]])
    new_edges = np.array([[-0.5, -0.5], [new_size[0] - 0.5, new_size[1] - 0.5]])
    assert resized(edges, size, new_size) == pytest.approx(new_edges)
    by_matrix = np.column_stack([edges, np.ones(2)]) @ resizing(size, new_size).T
    assert by_matrix == pytest.approx(np.column_stack([new_edges, np.ones(2)]))


def test_resizing_is_that_of_opencvs_pictures() -> None:
    """A ramp says where it was taken from: half the size shows the means of two neighbours."""
    ramp = np.tile(np.arange(8, dtype=np.float32), (2, 1))
    seen = cv2.resize(ramp, (4, 1), interpolation=cv2.INTER_AREA)[0]
    places = np.column_stack([np.arange(4.0), np.zeros(4)])
    assert resized(places, (4, 1), (8, 2))[:, 0] == pytest.approx(seen)


def marked(width: int, height: int, x: int, y: int) -> np.ndarray:
    picture = np.zeros((height, width), np.uint8)
    picture[y, x] = 1
    return picture


def place_of(picture: np.ndarray) -> list[list[float]]:
    return np.argwhere(picture)[:, ::-1].astype(float).tolist()


def test_turning_and_cropping_are_those_of_pictures() -> None:
    picture, pixel = marked(5, 3, x=4, y=1), np.array([[4.0, 1.0]])
    clockwise = cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE)
    assert turned(pixel, (5, 3)).tolist() == place_of(clockwise)
    assert cropped(pixel, 2, 1).tolist() == place_of(picture[1:, 2:])


def test_the_middle_of_an_even_picture_lies_between_pixels() -> None:
    assert middle((4, 3)).tolist() == [1.5, 1.0]


def numbers_in(node: ast.AST) -> object:
    """The value of a literal number or list of numbers, None for anything else."""
    try:
        return ast.literal_eval(node) if isinstance(node, ast.expr) else None
    except ValueError:
        return None


def is_half_pixel(node: ast.AST) -> bool:
    """``x + 0.5``, ``x - 0.5`` and ``CORNER_TO_CENTRE = 0.5``."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        return 0.5 in (numbers_in(node.left), numbers_in(node.right))
    return isinstance(node, ast.Assign) and numbers_in(node.value) in (0.5, -0.5) and is_telling(node.targets)


def is_telling(targets: list[ast.expr]) -> bool:
    return any(word in ast.unparse(target).upper() for target in targets for word in TELLING_WORDS)


def is_axes_flip(node: ast.AST) -> bool:
    """The numbers 1, -1, -1 in a row, wherever they stand."""
    return isinstance(node, ast.List | ast.Tuple) and [numbers_in(part) for part in node.elts[:3]] == [1, -1, -1]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(VDA).as_posix())
def test_no_other_file_has_half_a_pixel_or_turned_axes(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    assert not [ast.unparse(node) for node in nodes if is_axes_flip(node)]
    if path.relative_to(VDA).as_posix() not in OTHER_HALVES:
        assert not [ast.unparse(node) for node in nodes if is_half_pixel(node)]


@pytest.mark.parametrize(
    "line", ["y = x + 0.5", "y = (x - 0.5) * 2", "_CORNER_TO_CENTRE = 0.5", "F = np.diag([1.0, -1.0, -1.0, 1.0])"]
)
def test_such_lines_would_be_found(line: str) -> None:
    assert any(is_half_pixel(node) or is_axes_flip(node) for node in ast.walk(ast.parse(line)))
