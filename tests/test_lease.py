"""A chunk's claim in bad conditions: clocks that disagree, holders gone or back again, races, damage."""

import errno
import os
import time
from pathlib import Path

import pytest

from vda.cluster import lease
from vda.cluster.lease import Lease
from vda.cluster.taskfiles import TaskName
from vda.files import server_time
from vda.scene.runstate import ChunkClaim, Pace, RunFiles

pytestmark = pytest.mark.whole

HOURS = 3600.0


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    return RunFiles(tmp_path / "scene" / "vda_run")


def claim(files: RunFiles, words: str = "slurm 1_0", restart: int = 0) -> Lease:
    return Lease.on(files, 0, TaskName(words, "n1", restart))


def elsewhere(files: RunFiles, words: str = "slurm 2_0") -> Lease:
    """A lease of a task on another machine, where nobody can look for its process."""
    taken = claim(files, words)
    taken.mine = ChunkClaim(taken.mine.token, words, "n2", 1, taken.mine.since)
    assert taken.take() is None
    return taken


def age(files: RunFiles, seconds: float) -> None:
    """Let the last renewal be so long ago by the clock of the disk."""
    path = files.claim_path(0)
    then = server_time(path.parent) - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("hours", [-5.0, 0.0, 5.0])
def test_the_file_servers_clock_alone_counts(
    files: RunFiles, hours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + hours * HOURS)
    elsewhere(files)
    age(files, 50)
    assert claim(files).take() is not None
    assert list(files.live_claims()) == [0]
    age(files, 61)
    assert files.live_claims() == {}
    assert claim(files).take() is None


def test_one_of_many_takes_a_claim_over_and_who_lost_it_finds_out(files: RunFiles) -> None:
    for _ in range(10):
        files.claim_path(0).unlink(missing_ok=True)
        elsewhere(files)
        age(files, 61)
        begin, told = os.pipe(), os.pipe()
        tasks = []
        for number in range(6):
            tasks.append(os.fork())
            if tasks[-1] == 0:
                mine = claim(files, f"slurm 3_{number}")
                mine.mine = ChunkClaim(mine.mine.token, mine.mine.task, "n3", 1, 0.0)
                os.close(begin[1])
                os.read(begin[0], 1)
                if mine.take() is None:
                    os.write(told[1], f"{mine.mine.token}\n".encode())
                os._exit(0)
        os.close(begin[1])
        for task in tasks:
            assert os.waitstatus_to_exitcode(os.waitpid(task, 0)[1]) == 0
        os.close(told[1])
        holders = os.read(told[0], 4096).decode().split()
        os.close(told[0])
        os.close(begin[0])
        there = ChunkClaim.read(files.claim_path(0))
        # Two may believe that they have it, of which the one without finds out; never nobody.
        assert there is not None and there.token in holders and len(holders) <= 2
        assert [path.name for path in files.claims_dir.iterdir()] == ["chunk_000.json"]


def test_who_took_away_a_fresh_claim_puts_it_back(files: RunFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = elsewhere(files, "slurm 2_0")
    age(files, 61)
    second, third = claim(files, "slurm 3_0"), claim(files, "slurm 4_0")
    second.mine = ChunkClaim(second.mine.token, "slurm 3_0", "n3", 1, 0.0)
    looked = third._look()
    assert second.take() is None
    # What the third saw is old by now: the claim is the second's.
    looks = [looked]
    monkeypatch.setattr(third, "_look", lambda: looks.pop() if looks else Lease._look(third))
    assert third.take() is not None
    second.clock = lambda: time.monotonic() + HOURS
    gone.clock = second.clock
    assert second.renew() and not gone.renew()


@pytest.mark.parametrize("content", [b"", b'{"token": 3}', b"\0\xff"])
def test_a_damaged_claim_is_respected_for_a_minute(files: RunFiles, content: bytes) -> None:
    files.claims_dir.mkdir(parents=True)
    files.claim_path(0).write_bytes(content)
    assert claim(files).take() is not None
    assert files.live_claims() == {0: None}
    age(files, 61)
    assert claim(files).take() is None


def test_a_claim_from_the_future_ends_a_minute_after_it_was_seen(files: RunFiles) -> None:
    elsewhere(files)
    age(files, -20 * HOURS)
    assert claim(files).take() is not None
    left = files.claim_path(0).stat().st_mtime - server_time(files.claims_dir)
    assert left < 1
    age(files, 61)
    assert claim(files).take() is None


def test_the_same_task_begun_again_takes_it_at_once_and_an_earlier_start_does_not(files: RunFiles) -> None:
    orphan = elsewhere(files, "slurm 1_0")
    again = claim(files, "slurm 1_0", restart=1)
    assert again.take() is None
    late = claim(files, "slurm 1_0", restart=0)
    late.mine = ChunkClaim(late.mine.token, "slurm 1_0", "n2", 1, 0.0, 0)
    assert late.take() is not None
    orphan.clock = lambda: time.monotonic() + HOURS
    assert not orphan.renew()
    # What is another's by now is not released.
    orphan.release()
    assert files.claim_path(0).is_file()
    again.release()
    assert not files.claim_path(0).exists()


def test_a_process_of_this_machine_that_is_gone_is_not_waited_for(files: RunFiles) -> None:
    if (pid := os.fork()) == 0:
        claim(files).take()
        os._exit(0)
    os.waitpid(pid, 0)
    assert ChunkClaim.read(files.claim_path(0)) is not None
    assert claim(files, "slurm 9_9").take() is None


def test_a_holder_that_lives_is_known_by_its_next_renewal(files: RunFiles) -> None:
    holder = elsewhere(files)
    holder.clock = lambda: time.monotonic() + HOURS
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            age(files, 20)
            holder.renew()
        assert len(waited) < 10

    found = claim(files).await_turn(lambda: False, wait)
    assert found is not None and found.token == holder.mine.token and len(waited) == 3


def test_a_holder_that_is_gone_is_waited_for_and_then_replaced(files: RunFiles) -> None:
    elsewhere(files)
    age(files, 30)

    def wait(seconds: float) -> None:
        files.claim_path(0).unlink(missing_ok=True)

    assert claim(files).await_turn(lambda: False, wait) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.ESTALE])
def test_renewing_is_tried_again_where_the_disk_refuses(
    files: RunFiles, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, now = claim(files), [100.0]
    mine.clock = lambda: now[0]
    assert mine.take() is None
    age(files, 30)

    def refused(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(os, "utime", refused)
        now[0] += lease.RENEW_SECONDS
        assert mine.renew()
    assert server_time(files.claims_dir) - files.claim_path(0).stat().st_mtime > 25
    now[0] += lease.RENEW_SECONDS
    assert mine.renew()
    assert server_time(files.claims_dir) - files.claim_path(0).stat().st_mtime < 5


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_claim_that_is_lost_or_damaged_is_made_again_by_its_holder(
    files: RunFiles, content: bytes | None
) -> None:
    mine = claim(files)
    mine.clock = lambda: time.monotonic() + HOURS
    assert mine.take() is None
    mine._renewed = 0.0
    files.claim_path(0).unlink() if content is None else files.claim_path(0).write_bytes(content)
    assert mine.renew()
    there = ChunkClaim.read(files.claim_path(0))
    assert there is not None and there.token == mine.mine.token


@pytest.mark.parametrize("number", [None, errno.EPERM, errno.EOPNOTSUPP])
def test_the_first_pace_is_everybodys_also_without_links(
    tmp_path: Path, number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> None:
        raise OSError(number, "no links")

    if number is not None:
        monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "pace.json"
    assert Pace(2, 0.5).first(path) == Pace(2, 0.5)
    assert Pace(8, 0.1).first(path) == Pace(2, 0.5)
    path.write_bytes(b"torn")
    assert Pace(4, 0.2).first(path) == Pace(4, 0.2)
    assert [each.name for each in tmp_path.iterdir()] == ["pace.json"]
