"""Every target on every kind of film: how far its points are from the true surfaces, or why it was refused.

The table in ``docs/export.md`` is what this finds. ``make tables`` writes it again.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exportcases import FRAMES, READERS, Case, Lens, build, rig, to_surface, transforms
from test_export import UNIT, run

from vda.camera.choice import CameraChoice
from vda.errors import VdaError
from vda.scene.scene import Scene

pytestmark = pytest.mark.whole

PAGE = Path(__file__).parents[1] / "docs" / "export.md"
BEGIN, END = "<!-- made by tests/test_export_matrix.py -->", "<!-- end -->"
# Half a pixel of an edge-on wall 20 m away, and half a code of inverse depth there.
MOST_MM = 60.0
BENT = Lens(bends=(-0.28, 0.08, 0.002, -0.003))
# Stored lying on its side: the camera is that of the stored picture, 160 x 120, turned clockwise to be shown.
TURNED = Lens(121.0, 120.0, 119 - 58.0, 81.0, size=(120, 160))


def straight(frame: int) -> Lens:
    return Lens()


def zoomed(frame: int) -> Lens:
    return Lens(100.0 + 8 * frame, 100.0 + 8 * frame)


def stored_camera(folder: Path) -> CameraChoice:
    path = folder / "stored.json"
    numbers = {"fx": 120.0, "fy": 121.0, "cx": 81.0, "cy": 58.0}
    path.write_text(json.dumps({"width": 160, "height": 120, **numbers}))
    return CameraChoice(file=path)


PLAIN = Case(straight, transforms)
CASES = {
    "pinhole": PLAIN,
    "a lens": replace(PLAIN, lens=lambda frame: BENT),
    "a lens, `--undistort`": replace(PLAIN, lens=lambda frame: BENT, options={"undistort": True}),
    "a camera per image (zoom)": replace(PLAIN, lens=zoomed),
    "a rig": Case(straight, rig, unit=UNIT),
    "a rig, `--image-folder`": Case(straight, rig, {"image_folder": "left"}, unit=UNIT),
    "a rotated video": replace(PLAIN, lens=lambda frame: TURNED, camera=stored_camera, turned_deg=90),
    "depth of `--frames 1:4`": replace(PLAIN, with_depth=(1, 2, 3)),
    "images thinned out": replace(PLAIN, posed=(0, 2, 4)),
}


def measured(folder: Path, case: Case) -> Iterator[tuple[str, str]]:
    """Of each target millimetres that 99 of 100 points are within, or the sentence of refusal."""
    folder.mkdir()
    scene, poses, camera = build(folder, case), case.poses(folder, case), case.camera(folder)
    for target in READERS:
        output = folder / ("out.rrd" if target == "rerun" else target)
        yield target, away(scene, target, output, case, poses, camera)


def away(scene: Scene, target: str, output: Path, case: Case, poses: Path, camera: CameraChoice) -> str:
    try:
        report = run(scene, target, output, poses=poses, camera=camera, stride=2, **case.options)
    except VdaError as error:
        return error.problem.replace(f"{output.parent}/", "")
    points = np.concatenate(list(READERS[target](output, case))) / case.unit
    assert report.frames == len(set(case.posed) & set(case.with_depth))
    assert len(points) > 500 * report.frames
    return f"{1000 * np.percentile(to_surface(points), 99):.1f} mm"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    folder = tmp_path_factory.mktemp("matrix")
    return {
        (name, target): found
        for place, (name, case) in enumerate(CASES.items())
        for target, found in measured(folder / str(place), case)
    }


def table(cells: dict[tuple[str, str], str]) -> str:
    """The table in Markdown; sentences of refusal are numbered below it."""
    refusals = list(dict.fromkeys(text for text in cells.values() if not text.endswith(" mm")))
    rows = [f"| film | {' | '.join(f'`{target}`' for target in READERS)} |", f"|---|{'---|' * len(READERS)}"]
    for name in CASES:
        texts = (cells[name, target] for target in READERS)
        shown = (f"refused ({refusals.index(text) + 1})" if text in refusals else text for text in texts)
        rows.append(f"| {name} | {' | '.join(shown)} |")
    notes = [f"{place}. {text}" for place, text in enumerate(refusals, start=1)]
    return "\n".join([*rows, "", *notes])


def test_points_are_on_the_surfaces_or_the_export_is_refused(cells: dict[tuple[str, str], str]) -> None:
    for (name, target), text in cells.items():
        if text.endswith(" mm"):
            assert float(text.removesuffix(" mm")) < MOST_MM, (name, target)


def test_refused_is_what_a_reader_cannot_know(cells: dict[tuple[str, str], str]) -> None:
    refused = {key for key, text in cells.items() if not text.endswith(" mm")}
    assert refused == {("a rig", target) for target in READERS} | {
        ("a lens", "gaussian-splatting"),
        ("a lens", "rerun"),
    }


def test_the_page_has_this_table(cells: dict[tuple[str, str], str]) -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    shown, _, after = rest.partition(END)
    made = table(cells)
    if os.environ.get("VDA_WRITE_TABLES"):
        PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}")
        return
    # Millimetres may differ in the last digit from machine to machine; words may not.
    number = re.compile(r"[\d.]+(?= mm)")
    assert number.sub("", shown.strip()) == number.sub("", made)
    for told, found in zip(number.findall(shown), number.findall(made), strict=True):
        assert float(told) == pytest.approx(float(found), rel=0.1, abs=0.2)
    assert FRAMES == 6
