"""What is refused of Ray before anything is computed, each in two sentences; no Ray is needed for it."""

import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vda import __version__
from vda.cluster.ray import require_ready
from vda.errors import DeviceError, UsageError, VdaError, WorkError
from vda.launch import onray, raywork
from vda.launch.onray import Needs, RayTasks
from vda.launch.rayfaults import ray_address
from vda.launch.raywork import about_node, work
from vda.supervisor.resolve import RunSettings

# As Ray 2.60 says it (ray/_private/utils.py, check_version_info).
MISMATCH = (
    "Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    "This process on node 10.0.0.2 was started with:\n    Ray: 2.59.1\n    Python: 3.12.1\n"
)
FIT = {"node": "n1", "id": "a1", "cpus": 16, "gpus": 4.0, "gpu": "", "cpu": "a CPU"}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onray, "require_package", lambda *names: None)
    monkeypatch.setattr("vda.cluster.ray.require_package", lambda *names: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def port() -> Iterator[int]:
    """Where somebody listens, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def tasks(
    folder: Path, port: int, monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]], needs: Needs
) -> RayTasks:
    """Tasks of a Ray that says ``events`` and waits for its end, or ends where it has nothing to say."""
    says = "".join(f"print({json.dumps(event)!r}, flush=True); " for event in events)
    wait = "sys.stdin.read()" if events else "print('the head is gone', file=sys.stderr)"
    monkeypatch.setattr(onray, "_DRIVER", ("-c", f"import sys; {says}{wait}"))
    return RayTasks(f"127.0.0.1:{port}", needs, [folder / "ray.log"])


def ready(*nodes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"event": "connected"}, {"event": "ready", "nodes": list(nodes)}]


@pytest.mark.parametrize(
    ("event", "kind", "problem"),
    [
        (
            ready({**FIT, "unfit": "package", "what": "/py"}),
            UsageError,
            "Ray's node n1 lacks this program: its /py has no package vda.",
        ),
        (
            ready(FIT, {**FIT, "unfit": "version", "what": "0.0.9"}),
            UsageError,
            "Ray's node n1 lacks this program: it has version 0.0.9, and here it is ",
        ),
        (ready({**FIT, "unfit": "folder", "what": "/film"}), UsageError, "does not see this machine's /film."),
        (ready(), DeviceError, " has a GPU and 1 CPU."),
        (
            [{"event": "refused", "why": MISMATCH}],
            UsageError,
            "Ray 2.60.0 and Python 3.11.7 there, Ray 2.59.1 and Python 3.12.1 here.",
        ),
        (
            [{"event": "refused", "why": "no answer"}],
            WorkError,
            "could not be reached or came to an end (no answer).",
        ),
    ],
    ids=["no package", "another version", "another file system", "no GPU", "other versions", "not there"],
)
def test_a_cluster_that_cannot_work_is_refused(
    event: list[dict[str, Any]],
    kind: type[VdaError],
    problem: str,
    tmp_path: Path,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(kind) as refused, tasks(tmp_path, port, monkeypatch, event, Needs()):
        pass
    assert problem in refused.value.problem and refused.value.remedy


def test_a_driver_that_ends_is_met_with_what_it_said(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WorkError) as refused, tasks(tmp_path, port, monkeypatch, [], Needs()):
        pass
    assert "the head is gone" in refused.value.tail


def test_a_cluster_that_wants_a_token_is_said(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ray 2.60 says it, of a cluster that ``ray start`` began where there was a token."""
    refused_by = [{"event": "refused", "why": "Failed to connect to Ray cluster at 192.0.2.2:6399\n"}]
    found = tasks(tmp_path, port, monkeypatch, refused_by, Needs())
    said = "Unauthenticated: RPC error: InvalidAuthToken: Authentication token is missing or incorrect"
    prints = f"import sys; print({said!r}, file=sys.stderr, flush=True); "
    monkeypatch.setattr(onray, "_DRIVER", ("-c", prints + onray._DRIVER[1]))
    with pytest.raises(UsageError, match="takes nothing without its token"), found:
        pass
    # What an earlier command was told is not said of this one.
    with pytest.raises(WorkError, match="could not be reached"), tasks(tmp_path, port, monkeypatch, [], Needs()):
        pass


def test_what_listens_and_is_no_ray_is_given_up(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver hears no signal while Ray looks for the cluster, and no end of its input."""
    monkeypatch.setattr(onray, "_CONNECT_SECONDS", 0.5)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
    found = tasks(tmp_path, port, monkeypatch, [], Needs())
    monkeypatch.setattr(onray, "_DRIVER", ("-c", deaf))
    with pytest.raises(WorkError) as refused, found:
        pass
    assert "could not be reached or came to an end (it does not answer)" in refused.value.problem
    assert found._driver.returncode is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_where_nobody_listens_it_is_refused_at_once(host: str, tmp_path: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    with pytest.raises(WorkError) as refused, RayTasks(f"{host}:{free}", Needs(), [tmp_path / "ray.log"]):
        pass
    assert f"{host}:{free} could not be reached" in refused.value.problem and "ray status" in refused.value.remedy
    assert not (tmp_path / "ray.log").exists()


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
    needs: Needs,
    nodes: list[dict[str, Any]],
    cpus: int,
    tmp_path: Path,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tasks(tmp_path, port, monkeypatch, ready(*nodes), needs) as found:
        assert found.cpus == cpus


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ray_address(None) is None and ray_address("local") is None
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.9:6379")
    assert ray_address(None) == "10.0.0.9:6379" and ray_address("auto") == "auto"
    with pytest.raises(UsageError, match="client server"):
        ray_address("ray://10.0.0.1:10001")
    for wrong in ("10.0.0.1", "http://10.0.0.1:8265", "head:port"):
        with pytest.raises(UsageError, match="no address of a Ray cluster"):
            ray_address(wrong)


def test_devices_are_what_ray_gives() -> None:
    require_ready(RunSettings(on="ray", devices="cpu"))
    with pytest.raises(UsageError, match="the device that Ray gives it"):
        require_ready(RunSettings(on="ray", devices="0,1"))
    require_ready(RunSettings(on="ray", decoder="gpu"))
    with pytest.raises(UsageError, match="--decoder gpu is for NVIDIA's GPUs"):
        require_ready(RunSettings(on="ray", devices="cpu", decoder="gpu"))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"ray_address": "10.0.0.1:6379"}, "--ray-address is of no use without --on ray."),
        ({"slurm": ("partition=gpu",)}, "--slurm is of no use without --on slurm."),
        ({"on": "ray", "slurm": ("partition=gpu",)}, "--slurm is of no use without --on slurm."),
        ({"on": "ray", "prove": True, "precision": "bf16"}, "--prove is for"),
    ],
)
def test_what_is_an_engines_is_not_passed_over_in_silence(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as refused:
        RunSettings(**settings)
    assert problem in refused.value.problem


def test_on_a_node_a_command_leaves_its_code_and_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    log.write_text("of an earlier task\n")
    fit = "task", [str(log)], __version__
    monkeypatch.setattr(raywork, "_gpus", lambda: ["3"])
    with keeping_signals():
        done = work(["no-such-command"], str(log), {}, *fit)
    assert done["code"] == 2 and "No such command" in done["said"] and "earlier" not in done["said"]


def test_a_node_answers_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raywork, "_SEEN_SECONDS", 0.0)
    log = tmp_path / "ray.log"
    log.write_text("the mark\n")
    assert "unfit" not in about_node("mark", [str(log)], __version__)
    # A folder of the same name on another disk has no such line.
    for asked, lacks in (
        (("another", [str(log)], __version__), "folder"),
        (("mark", [str(log), str(tmp_path / "gone" / "ray.log")], __version__), "folder"),
        (("mark", [str(log)], "0.0.9"), "version"),
    ):
        assert about_node(*asked)["unfit"] == lacks
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert about_node("mark", [str(log)], __version__)["unfit"] == "package"


@contextmanager
def keeping_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
