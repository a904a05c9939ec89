"""What is refused of Ray before anything is computed, each in two sentences; no Ray is needed for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from vda.cluster.ray import require_ready
from vda.errors import DeviceError, UsageError, VdaError, WorkError
from vda.launch import onray
from vda.launch.onray import Needs, RayTasks, ray_address
from vda.launch.raydriver import answer, work
from vda.supervisor.resolve import RunSettings

# As Ray 2.60 says it (ray/_private/utils.py, check_version_info).
MISMATCH = (
    "Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    "This process on node 10.0.0.2 was started with:\n    Ray: 2.59.1\n    Python: 3.12.1\n"
)
FIT = {"node": "n1", "cpus": 16, "gpus": 4.0, "python": "/py", "has_vda": True, "sees": True}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onray, "require_package", lambda *names: None)
    monkeypatch.setattr("vda.cluster.ray.require_package", lambda *names: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def tasks(folder: Path, monkeypatch: pytest.MonkeyPatch, event: dict[str, Any] | None, needs: Needs) -> RayTasks:
    """Tasks of a Ray that says ``event`` and waits for its end."""
    says = f"print({json.dumps(event)!r}, flush=True); " if event is not None else ""
    wait = "sys.stdin.read()" if event is not None else "print('the head is gone', file=sys.stderr)"
    monkeypatch.setattr(onray, "_DRIVER", ("-c", f"import sys; {says}{wait}"))
    return RayTasks("10.0.0.1:6379", needs, folder, folder / "ray.log")


def ready(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"event": "ready", "nodes": list(nodes)}


@pytest.mark.parametrize(
    ("event", "kind", "problem"),
    [
        (
            ready({**FIT, "has_vda": False}),
            UsageError,
            "Ray's node n1 lacks this program: its /py has no package vda.",
        ),
        (ready({**FIT, "sees": False}), UsageError, "Ray's node n1 does not see "),
        (ready(), DeviceError, "No node of the Ray cluster 10.0.0.1:6379 has a GPU."),
        (
            {"event": "refused", "kind": "RuntimeError", "why": MISMATCH},
            UsageError,
            "Ray 2.60.0 and Python 3.11.7 there, Ray 2.59.1 and Python 3.12.1 here.",
        ),
        ({"event": "refused", "kind": "ConnectionError", "why": "no answer"}, WorkError, "could not be reached"),
    ],
    ids=["no package", "another file system", "no GPU", "other versions", "not there"],
)
def test_a_cluster_that_cannot_work_is_refused(
    event: dict[str, Any], kind: type[VdaError], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(kind) as refused, tasks(tmp_path, monkeypatch, event, Needs()):
        pass
    assert problem in refused.value.problem and refused.value.remedy


def test_a_driver_that_ends_is_met_with_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkError) as refused, tasks(tmp_path, monkeypatch, None, Needs()):
        pass
    assert "the head is gone" in refused.value.tail


@pytest.mark.parametrize(
    ("needs", "nodes", "cpus"),
    [
        # 16 CPUs for 4 GPUs; the smallest share counts, and what was asked for before it.
        (Needs(1, 0), [FIT], 4),
        (Needs(1, 0), [FIT, {**FIT, "cpus": 8}], 2),
        (Needs(1, 3), [FIT], 3),
        (Needs(0, 0), [FIT, {**FIT, "cpus": 6, "gpus": 0}], 6),
        (Needs(1, 0), [{**FIT, "cpus": 2}], 1),
    ],
)
def test_each_task_has_the_same_number_of_cpus(
    needs: Needs, nodes: list[dict[str, Any]], cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tasks(tmp_path, monkeypatch, ready(*nodes), needs) as found:
        assert found.cpus == cpus


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ray_address(None) is None and ray_address("local") is None
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.9:6379")
    assert ray_address(None) == "10.0.0.9:6379" and ray_address("auto") == "auto"
    with pytest.raises(UsageError, match="client server"):
        ray_address("ray://10.0.0.1:10001")


def test_devices_are_what_ray_gives() -> None:
    require_ready(RunSettings(on="ray", devices="cpu"))
    with pytest.raises(UsageError, match="the device that Ray gives it"):
        require_ready(RunSettings(on="ray", devices="0,1"))


def test_on_a_node_a_command_leaves_its_code_and_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of an earlier task\n")
    done = work(["no-such-command"], str(log), {})
    assert done["code"] == 2 and "No such command" in done["said"] and "earlier" not in done["said"]
    assert "blind" in work(["--version"], str(tmp_path / "gone" / "log"), {})
    assert answer(str(tmp_path))["sees"] and not answer(str(tmp_path / "gone"))["sees"]
