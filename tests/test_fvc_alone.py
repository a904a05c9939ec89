"""Stages that one process works at, on folders that machines share: locks that are always given, and that fail.

Another machine is this process under another name, at work in the middle of the first one's.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sets import content, data_set
from numpy.typing import NDArray

from vda.cluster import lease
from vda.errors import UsageError, WorkError
from vda.fvc import alone as alones
from vda.fvc.augment import AugmentSettings, augment
from vda.fvc.embed import EmbedSettings, embed
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.fvc.shards import ShardSettings, write_shards
from vda.reporter import Reporter, Silence

VIDEOS = 3
Stage = Callable[[Path, Path, Reporter], object]


class Means:
    """An embedder: the mean colour of a picture."""

    name, checksum = "means", "0" * 64

    def vectors(self, pictures: Iterable[np.ndarray], reporter: Reporter) -> Iterator[NDArray[np.float32]]:
        return (picture.mean((0, 1)).astype(np.float32) for picture in pictures)


def augmented(made: Path, out: Path, reporter: Reporter) -> object:
    return augment(made / "videos.csv", out, AugmentSettings(1, kinds=("noise",)), reporter=reporter)


def embedded(made: Path, out: Path, reporter: Reporter) -> object:
    return embed(made / "videos.csv", out, Means(), EmbedSettings("npy"), reporter=reporter)


def in_shards(made: Path, out: Path, reporter: Reporter) -> object:
    return write_shards(made / "scaled", out, ShardSettings(1), reporter=reporter)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    scale(data_set(folder, VIDEOS, frames=3), folder / "scaled", ScaleSettings(size=64))
    return folder


@pytest.fixture(params=[augmented, embedded, in_shards], ids=["augment", "embed", "shards"])
def stage(request: pytest.FixtureRequest) -> Stage:
    given: Stage = request.param
    return given


@pytest.fixture(params=[None, errno.ENOLCK], ids=["always", "ENOLCK"])
def locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(*arguments: Any) -> Any:
        if request.param is not None:
            raise OSError(request.param, os.strerror(request.param))
        return arguments[-1]

    for name in ("fcntl", "flock", "lockf"):
        monkeypatch.setattr(fcntl, name, given)


class InTheMiddle(Silence):
    """Does something after the first video, shard or augmentation, but once."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do: Callable[[], object] | None = do

    def at(self, done: int) -> None:
        if (do := self._do) is not None and done == 1:
            self._do = None
            do()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], object]:
    """Does something as on another machine, which knows nothing of the processes here."""

    def there(do: Callable[[], object]) -> object:
        with monkeypatch.context() as patch:
            patch.setattr(lease, "this_machine", lambda: "there")
            return do()

    return there


@pytest.mark.usefixtures("locks")
def test_two_machines_at_once_make_what_one_process_makes(
    made: Path, tmp_path: Path, stage: Stage, elsewhere: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alones, "RENEW_SECONDS", 0.01)
    monkeypatch.setattr(lease, "_POLL_SECONDS", 0.02)
    stage(made, tmp_path / "one", Silence())
    refused: list[str] = []

    def second() -> None:
        for place in (elsewhere, lambda do: do()):
            with pytest.raises(UsageError) as error:
                place(lambda: stage(made, tmp_path / "two", Silence()))
            refused.append(error.value.problem)

    stage(made, tmp_path / "two", InTheMiddle(second))
    assert content(tmp_path / "two") == content(tmp_path / "one")
    assert len(refused) == 2 and all(f"process {os.getpid()}" in problem for problem in refused)


def test_who_stood_still_while_another_took_over_spoils_nothing(
    made: Path, tmp_path: Path, stage: Stage, elsewhere: Callable[..., object]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    stage(made, one, Silence())

    def a_minute_later() -> None:
        (claim,) = two.glob(".*.claim.json")
        os.utime(claim, (time.time() - 3600,) * 2)
        elsewhere(lambda: stage(made, two, InTheMiddle(lambda: taken_over.append(content(two)))))

    taken_over: list[dict[str, bytes]] = []
    with pytest.raises(WorkError, match=r"took .* over"):
        stage(made, two, InTheMiddle(a_minute_later))
    assert content(two) == content(one)
    assert not list(two.glob(".*.claim.json")) and len(taken_over) == 1


def test_a_process_that_is_gone_is_not_waited_for_where_that_can_be_known(
    made: Path, tmp_path: Path, stage: Stage, elsewhere: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another machine it is waited for a minute: the claim ages while it is looked at."""
    monkeypatch.setattr(lease, "_POLL_SECONDS", 0.02)
    stage(made, tmp_path / "one", Silence())
    claim_of_a_dead_one(made, tmp_path / "two", stage)
    stage(made, tmp_path / "two", Silence())
    assert content(tmp_path / "two") == content(tmp_path / "one")
    claim = claim_of_a_dead_one(made, tmp_path / "two", stage)
    real = lease.claim_age
    ages = iter([1.0, 30.0])
    monkeypatch.setattr(lease, "claim_age", lambda path, now: next(ages, real(path, now) + 61))
    elsewhere(lambda: stage(made, tmp_path / "two", Silence()))
    assert not claim.exists() and content(tmp_path / "two") == content(tmp_path / "one")


def claim_of_a_dead_one(made: Path, out: Path, stage: Stage) -> Path:
    """What a process leaves that is killed: its claim. Its number has another process by now."""
    kept: list[tuple[Path, dict[str, Any]]] = []

    def keep() -> None:
        (claim,) = out.glob(".*.claim.json")
        kept.append((claim, json.loads(claim.read_text())))

    stage(made, out, InTheMiddle(keep))
    ((claim, told),) = kept
    claim.write_text(json.dumps({**told, "process_started": told["process_started"] - 3600}))
    return claim
