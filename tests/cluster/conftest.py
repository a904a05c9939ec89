"""One SLURM for all, given to each test with an empty queue and both nodes up, and films computed here."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from cluster import nodes
from cluster.awaiting import until
from cluster.rayworld import Nodes, ray_nodes
from cluster.scenes import Film, of_all, sample_film, small_film
from cluster.world import Cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("cluster")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Slurm]:
    if missing := nodes.missing():
        pytest.skip(f"no SLURM here: {', '.join(missing)} not found (Debian: slurmctld slurmd slurm-client munge)")
    with nodes.running(nodes.Slurm, tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture
def cluster(slurm: nodes.Slurm, tmp_path: Path) -> Iterator[Cluster]:
    """The SLURM; afterwards nothing of the test's runs, and the nodes are as they were."""
    yield from given(slurm, tmp_path)


def given(slurm: nodes.Slurm, folder: Path) -> Iterator[Cluster]:
    cluster = Cluster(slurm, folder)
    cluster.gate.folder.mkdir()
    cluster.local_disk.mkdir()
    yield cluster
    slurm.clear()
    until(lambda: not cluster.queue(), "an empty queue", cluster.told)


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'vda-toolkit[ray]'")
    with ray_nodes(tmp_path_factory.mktemp("gate")) as running:
        yield running


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """Small: a chunk of its four takes a second."""
    return of_all(tmp_path_factory.getbasetemp(), "film", small_film)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """The sample, with what ``vda depth`` takes by default."""
    return of_all(tmp_path_factory.getbasetemp(), "sample", sample_film)
