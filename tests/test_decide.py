"""Histories written as data, replayed through the supervisor's decisions."""

from dataclasses import replace
from signal import SIGKILL, SIGSEGV
from typing import Any

import pytest

from vda.scene.runstate import ChunkAttempts, WorkerState
from vda.supervisor.decide import decide
from vda.supervisor.seen import (
    Action,
    Bury,
    ChunkView,
    DeviceView,
    Finish,
    Give,
    HostView,
    Kill,
    Quit,
    Snapshot,
    Start,
    Wait,
    WorkerView,
)

SCENE = "data/film"
FIRST_PROGRESS_SECONDS, HUNG_SECONDS = 600.0, 120.0


def chunk(index: int, left: int = 4, **attempts: Any) -> ChunkView:
    return ChunkView((SCENE, index), 4, 4 - left, ChunkAttempts(**attempts))


def working(device: str, index: int, *, order: int = 1, at: float = 0.0, **changes: Any) -> WorkerView:
    state = WorkerState(device, device, 1, 0.0, "computing", order, "", SCENE, index, frames_decoded=1)
    return replace(WorkerView(device, device, True, None, state, order, (SCENE, index), 0, at), **changes)


def idle(device: str) -> WorkerView:
    return WorkerView(device, device, True, None, WorkerState(device, device, 1, 0.0, "idle"), 0, None, 0, 0.0)


def dead(device: str, index: int, exit_code: int | None, **changes: Any) -> WorkerView:
    return working(device, index, alive=False, exit_code=exit_code, **changes)


def see(
    chunks: list[ChunkView], workers: list[WorkerView], devices: str | list[DeviceView], **changes: Any
) -> Snapshot:
    views = [DeviceView(name) for name in devices] if isinstance(devices, str) else devices
    return replace(Snapshot(100.0, tuple(chunks), tuple(workers), tuple(views)), **changes)


def test_a_worker_is_started_on_each_device_that_has_a_chunk_to_take() -> None:
    assert decide(see([chunk(0), chunk(1)], [], "abc")) == [Start("a"), Start("b")]
    assert decide(see([chunk(0), chunk(1), chunk(2, left=0)], [idle("a")], "abc"))[1:] == [Start("b")]


def test_the_free_worker_takes_the_chunk_with_most_left() -> None:
    assert decide(see([chunk(0, 2), chunk(1, 4), chunk(2, 3)], [working("b", 1), idle("a")], "ab")) == [
        Give("a", (SCENE, 2))
    ]


def test_two_workers_never_get_one_chunk() -> None:
    given = decide(see([chunk(0), chunk(1)], [idle("a"), idle("b")], "ab"))
    assert {action.chunk for action in given if isinstance(action, Give)} == {(SCENE, 0), (SCENE, 1)}


def test_the_slow_device_leaves_the_last_chunk_to_a_faster_one_that_ends_it_sooner() -> None:
    devices = [DeviceView("fast", seconds_per_window=1.0), DeviceView("slow", seconds_per_window=10.0)]
    assert decide(see([chunk(0, 4), chunk(1, 4)], [working("fast", 0), idle("slow")], devices)) == []
    nearly_even = [DeviceView("fast", seconds_per_window=1.0), DeviceView("slow", seconds_per_window=1.5)]
    assert decide(see([chunk(0, 4), chunk(1, 4)], [working("fast", 0), idle("slow")], nearly_even)) == [
        Give("slow", (SCENE, 1))
    ]


def test_when_all_is_done_workers_quit_and_then_it_is_finished() -> None:
    assert decide(see([chunk(0, 0)], [idle("a")], "a")) == [Quit("a")]
    assert decide(see([chunk(0, 0)], [], "a")) == [Finish()]


def test_asked_to_stop_nothing_new_is_given() -> None:
    assert decide(see([chunk(0), chunk(1)], [working("a", 0), idle("b")], "ab", stop_requested=True)) == [
        Quit("b")
    ]
    assert decide(see([chunk(0)], [], "a", stop_requested=True)) == [Finish()]


def only(actions: list[Action]) -> Bury:
    (action,) = actions
    assert isinstance(action, Bury)
    return action


def test_a_crash_counts_and_the_wait_grows() -> None:
    first = only(decide(see([chunk(0)], [dead("a", 0, -SIGSEGV)], "a")))
    assert first.attempts is not None
    assert (first.attempts.attempts, first.attempts.failed_devices) == (1, ("a",))
    assert first.attempts.error == f"it was ended by signal {SIGSEGV}"
    again = only(decide(see([ChunkView((SCENE, 0), 4, 0, first.attempts)], [dead("a", 0, 1)], "a")))
    assert again.attempts is not None
    assert again.attempts.attempts == 2
    assert again.attempts.not_before > first.attempts.not_before > 100.0
    assert decide(see([ChunkView((SCENE, 0), 4, 0, again.attempts)], [idle("a")], [again.device])) == []


@pytest.mark.parametrize("exit_code", [-SIGKILL, None])
def test_a_kill_from_outside_counts_against_nobody(exit_code: int | None) -> None:
    buried = only(decide(see([chunk(0, attempts=2, failed_devices=("a",))], [dead("a", 0, exit_code)], "a")))
    assert buried.attempts is not None
    assert buried.attempts.attempts == 2
    assert buried.device.failed == ()


def test_a_crash_after_a_finished_window_starts_the_count_anew() -> None:
    worker = dead("a", 0, 1, windows_at_order=0)
    buried = only(decide(see([chunk(0, left=3, attempts=3, failed_devices=("a",))], [worker], "a")))
    assert buried.attempts is not None
    assert buried.attempts.attempts == 0
    assert not buried.attempts.set_aside


def test_an_ending_without_unfinished_work_is_no_failure() -> None:
    assert only(decide(see([chunk(0)], [dead("a", 0, 0)], "a"))).attempts is None
    assert only(decide(see([chunk(0, left=0)], [dead("a", 0, -SIGSEGV)], "a"))).attempts is None


def test_what_failed_on_one_device_goes_to_another() -> None:
    chunks = [chunk(0, attempts=1, failed_devices=("a",)), chunk(1, left=2)]
    given = decide(see(chunks, [idle("a"), idle("b")], "ab"))
    assert set(given) == {Give("a", (SCENE, 1)), Give("b", (SCENE, 0))}
    assert decide(see(chunks[:1], [idle("a")], "a")) == [Give("a", (SCENE, 0))]


def test_a_chunk_that_fails_on_two_devices_is_set_aside_and_the_rest_goes_on() -> None:
    chunks = [chunk(0, attempts=1, failed_devices=("a",)), chunk(1)]
    buried = only(decide(see(chunks, [dead("b", 0, 1)], "ab")))
    assert buried.attempts is not None and buried.attempts.set_aside
    chunks[0] = ChunkView((SCENE, 0), 4, 0, buried.attempts)
    assert decide(see(chunks, [idle("a")], "ab")) == [Give("a", (SCENE, 1))]
    assert decide(see([chunks[0], chunk(1, left=0)], [], "ab")) == [Finish()]


def test_a_chunk_is_set_aside_when_its_retries_are_used_up() -> None:
    for attempts, set_aside in ((2, False), (3, True)):
        buried = only(decide(see([chunk(0, attempts=attempts, failed_devices=("a",))], [dead("a", 0, 1)], "a")))
        assert buried.attempts is not None
        assert buried.attempts.set_aside is set_aside


def test_a_device_is_set_aside_when_it_fails_whatever_the_chunk() -> None:
    device = DeviceView("a")
    for index in (0, 1, 2):
        seen = see([chunk(0), chunk(1), chunk(2)], [dead("a", index, 1)], [device, DeviceView("b")])
        assert not device.set_aside
        device = only(decide(seen)).device
    assert device.set_aside
    actions = decide(see([chunk(0), chunk(1)], [], [replace(device, not_before=0.0), DeviceView("b")]))
    assert actions == [Start("b")]


def test_one_bad_chunk_does_not_condemn_a_device() -> None:
    device = DeviceView("a")
    for _ in range(4):
        device = only(decide(see([chunk(0)], [dead("a", 0, 1)], [device]))).device
    assert not device.set_aside


def test_hung_is_when_no_counter_moves_for_long() -> None:
    def after(seconds: float, **changes: Any) -> list[Action]:
        worker = working("a", 0, at=100.0 - seconds, **changes)
        return decide(see([chunk(0)], [worker], [DeviceView("a", seconds_per_window=1.0)]))

    assert after(HUNG_SECONDS - 1) == []
    assert after(HUNG_SECONDS + 1) == [Kill("a", "hung")]
    assert after(HUNG_SECONDS + 1, killed=99.0) == []
    fresh = WorkerState("a", "a", 1, 0.0, "starting", 1)
    assert after(HUNG_SECONDS + 1, state=fresh) == []
    assert after(FIRST_PROGRESS_SECONDS + 1, state=fresh) == [Kill("a", "hung")]


def test_a_slow_window_is_not_taken_for_a_hang() -> None:
    worker = working("a", 0, at=100.0 - 400.0)
    assert decide(see([chunk(0)], [worker], [DeviceView("a", seconds_per_window=100.0)])) == []
    assert decide(see([chunk(0)], [worker], [DeviceView("a", seconds_per_window=50.0)])) == [Kill("a", "hung")]


def test_what_was_killed_for_hanging_counts_though_the_signal_is_sigkill() -> None:
    buried = only(decide(see([chunk(0)], [dead("a", 0, -SIGKILL, killed=99.0)], "a")))
    assert buried.attempts is not None
    assert (buried.attempts.attempts, buried.attempts.error) == (1, "it hung and was ended")


def test_kills_from_outside_do_not_count_but_the_wait_grows_in_the_end() -> None:
    attempts, waits = ChunkAttempts(), []
    for _ in range(7):
        buried = only(decide(see([ChunkView((SCENE, 0), 4, 0, attempts)], [dead("a", 0, -SIGKILL)], "a")))
        assert buried.attempts is not None
        attempts = buried.attempts
        waits.append(attempts.not_before - 100.0)
    assert attempts.attempts == 0 and not attempts.set_aside
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert waits[-1] > waits[-2] > waits[-3] > 0


def test_kills_by_the_memory_killer_below_a_limit_wait_longer_and_end() -> None:
    host = HostView(memory_bound="/job", memory_killer="the limit of /job was used up")
    attempts, waits = ChunkAttempts(), []
    while not attempts.set_aside:
        seen = see([ChunkView((SCENE, 0), 4, 0, attempts)], [dead("a", 0, -SIGKILL)], "a", host=host)
        buried = only(decide(seen))
        assert buried.attempts is not None
        attempts = buried.attempts
        waits.append(attempts.not_before - 100.0)
    assert waits == [1.0, 5.0, 30.0, 120.0]
    assert attempts.error == "the kernel's memory killer ended it: the limit of /job was used up"


def test_the_machines_own_memory_may_come_back_so_its_killer_counts_against_nobody() -> None:
    host, attempts = HostView(memory_killer="the machine's memory was used up"), ChunkAttempts()
    for _ in range(9):
        seen = see([ChunkView((SCENE, 0), 4, 0, attempts)], [dead("a", 0, -SIGKILL)], "a", host=host)
        buried = only(decide(seen))
        assert buried.attempts is not None and "memory killer ended it" in buried.reason
        attempts = buried.attempts
    assert not attempts.set_aside and attempts.not_before == 220.0


def test_workers_that_end_before_they_had_an_order_are_not_started_without_end() -> None:
    device, waits = DeviceView("a"), []
    while not device.set_aside:
        unborn = replace(idle("a"), alive=False, exit_code=1, state=None)
        buried = only(decide(see([chunk(0)], [unborn], [device])))
        device = buried.device
        waits.append(device.not_before - 100.0)
        assert decide(see([chunk(0)], [], [device])) in ([], [Finish()])
    assert waits == [1.0, 5.0, 30.0, 120.0]
    assert device.error == "it ended with exit code 1"
    assert decide(see([chunk(0)], [], [device])) == [Finish()]
    # One that lived to work has shown that workers can.
    assert only(decide(see([chunk(0)], [dead("a", 0, -SIGSEGV)], [replace(device, unborn=2)]))).device.unborn == 0


def test_a_worker_that_said_why_it_fails_was_not_ended_from_outside() -> None:
    state = WorkerState("a", "a", 1, 0.0, "ended", 1, "failed", SCENE, 0, problem="no memory left")
    buried = only(decide(see([chunk(0)], [dead("a", 0, None, state=state)], "a")))
    assert buried.attempts is not None
    assert (buried.attempts.attempts, buried.attempts.error) == (1, "no memory left")


@pytest.mark.parametrize("windows_done", [0, 3])
def test_what_is_wrong_for_good_is_not_tried_again(windows_done: int) -> None:
    words = "There is no file v.mp4 any more."
    state = WorkerState("a", "a", 1, 0.0, "ended", 1, "failed", SCENE, 0, problem=words, for_good=True)
    view = ChunkView((SCENE, 0), 4, windows_done, ChunkAttempts())
    buried = only(decide(see([view], [dead("a", 0, 1, state=state)], "ab")))
    assert buried.attempts is not None
    assert buried.attempts.set_aside and buried.attempts.error == words
    # It is no fault of the device, which other chunks may have.
    assert not buried.device.failed and not buried.device.set_aside


def test_what_cannot_be_killed_is_given_up_with_its_device_and_its_lock() -> None:
    stuck = working("a", 0, killed=69.0)
    buried = only(decide(see([chunk(0)], [stuck], "ab")))
    assert buried.given_up and buried.device.set_aside
    assert buried.attempts is not None and buried.attempts.lock == 1
    assert decide(see([chunk(0)], [replace(stuck, killed=71.0)], "a")) == []
    seen = see([ChunkView((SCENE, 0), 4, 0, buried.attempts)], [idle("b")], [buried.device, DeviceView("b")])
    assert decide(seen) == [Give("b", (SCENE, 0))]


def test_full_memory_pauses_until_there_is_room_to_spare() -> None:
    def seen(used: float, paused: str = "") -> list[Action]:
        host = HostView(memory_used_fraction=used)
        return decide(see([chunk(0), chunk(1)], [working("a", 0), idle("b")], "ab", host=host, paused=paused))

    assert seen(0.89) == [Give("b", (SCENE, 1))]
    pause, freed = seen(0.90)
    assert isinstance(pause, Wait) and "memory is full" in pause.reason
    # An idle worker's model may be what fills it.
    assert freed == Quit("b")
    assert seen(0.88, pause.reason) == [Quit("b")]
    assert seen(0.84, pause.reason) == [Wait(""), Give("b", (SCENE, 1))]


def test_a_full_disk_pauses_with_the_figures() -> None:
    def seen(free: int, paused: str = "") -> list[Action]:
        host = HostView(disk_free_bytes=free, disk_needed_bytes=50_000_000)
        return decide(see([chunk(0)], [], "a", host=host, paused=paused))

    assert seen(49_000_000) == [Wait("the disk is full: 49 MB free, 50 MB needed to go on")]
    assert seen(60_000_000, "the disk is full") != [Wait(""), Start("a")]
    assert seen(76_000_000, "the disk is full") == [Wait(""), Start("a")]


def test_a_worker_starts_only_where_its_measured_peak_fits_with_a_tenth_to_spare() -> None:
    devices = [DeviceView(name, peak_memory_bytes=1000) for name in "abc"]

    def started(available: int, workers: list[WorkerView]) -> list[Action]:
        host = HostView(memory_available_bytes=available)
        return decide(see([chunk(0), chunk(1), chunk(2)], workers, devices, host=host))

    assert started(3300, []) == [Start("a"), Start("b"), Start("c")]
    assert started(3299, []) == [Start("a"), Start("b")]
    (wait,) = started(1099, [])
    assert isinstance(wait, Wait) and "memory is short" in wait.reason
    # Below a group's limit nobody else may make room; after two minutes one worker shows whether it is enough.
    group = HostView(memory_available_bytes=1099, memory_bound="/job")
    short = replace(see([chunk(0), chunk(1)], [], devices, host=group, paused="short"), paused_since=1.0)
    assert all(isinstance(action, Wait) for action in decide(short))
    assert decide(replace(short, now=122.0)) == [Wait(""), Start("a")]
    machines = replace(group, memory_bound=HostView().memory_bound)
    assert all(isinstance(action, Wait) for action in decide(replace(short, now=122.0, host=machines)))
    # Of what is available the worker on a still takes 400.
    grown = replace(WorkerState("a", "a", 1, 0.0, "computing", 1, "", SCENE, 0, 1), peak_memory_bytes=600)
    assert started(1499, [working("a", 0, state=grown)]) == []
    assert started(1500, [working("a", 0, state=grown)]) == [Start("b")]


def test_a_run_that_is_paused_can_still_be_stopped() -> None:
    host = HostView(memory_used_fraction=0.95)
    assert decide(see([chunk(0)], [idle("a")], "a", host=host, stop_requested=True)) == [Quit("a")]
