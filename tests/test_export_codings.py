"""The same film in every coding, exported to every program: what each reads is the same to a thousandth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exportcases import READERS, Case, Lens, build, transforms
from test_export import TRUTH, run

from vda.depthmaps.codings import CODINGS, Coding
from vda.scene.scene import Scene

CASES = {
    "metres": Case(lambda frame: Lens(), transforms, posed=(0, 3)),
    "inverse": Case(lambda frame: Lens(), transforms, posed=(0, 3), relative=TRUTH),
}
MOST = 1e-3


@pytest.fixture(scope="module", params=CASES)
def scenes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[Coding, tuple[Case, Scene]]:
    cases = {coding: replace(CASES[request.param], coding=coding) for coding in CODINGS}
    return {
        coding: (case, build(tmp_path_factory.mktemp(f"{request.param}_{coding}"), case))
        for coding, case in cases.items()
    }


@pytest.mark.parametrize("target", READERS)
def test_every_program_reads_the_same_of_every_coding(
    scenes: dict[Coding, tuple[Case, Scene]], target: str, tmp_path: Path
) -> None:
    found, said = {}, {}
    for coding, (case, scene) in scenes.items():
        output = tmp_path / (f"{coding}.rrd" if target == "rerun" else coding)
        report = run(scene, target, output, poses=case.poses(tmp_path, case), stride=2)
        found[coding] = np.concatenate(list(READERS[target](output, case))).astype(np.float64)
        said[coding] = [sentence for sentence in report.said if "quantised again" in sentence]
    away = np.linalg.norm(found["linear"], axis=1)
    assert len(away) > 1000
    for coding in ("sqrt", "log"):
        assert found[coding].shape == found["linear"].shape
        apart = np.linalg.norm(found[coding] - found["linear"], axis=1)
        inverse = scenes[coding][0].relative is not None
        # Of metres this target holds inverse depth, in steps of 1.5e-4: that is what is to agree then.
        apart = apart / (away if inverse or target != "gaussian-splatting" else away**2)
        assert 0 < apart.max() < MOST
        assert len(said[coding]) == (target == "gaussian-splatting" and inverse)
    assert said["linear"] == []
