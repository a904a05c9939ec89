"""Who scales: this process alone, or worker processes beside each other.

In: rows, one for each free hand. Out: what came of them, in whatever order they are done. A worker that is killed
costs its row a second try; killed twice, the row is at fault. Workers know no ledger: who gives out the rows keeps
the records, so that many of them are no more in each other's way than one. This file does not know how a row is
scaled.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

import cv2

from vda.errors import VdaError
from vda.fvc.autoencoder import load_autoencoder
from vda.fvc.clip import Through
from vda.fvc.record import Record
from vda.fvc.request import Item
from vda.fvc.row import Outcome, Workplace, remove_outputs

_MOST_TRIES = 2
KILLED = "The process that scaled it was killed twice: it ran out of memory, or met a fault in a library."


@dataclass(frozen=True)
class Task:
    """A row, what is known of it, and where its depth is, if not where the row says."""

    item: Item
    record: Record | None
    scene: Path | None = None


class Hands(Protocol):
    """``has_room``: another row can be given; ``is_at_work``: some are not taken back yet."""

    @property
    def has_room(self) -> bool: ...

    @property
    def is_at_work(self) -> bool: ...

    def give(self, task: Task) -> None: ...

    def take(self) -> tuple[Item, Outcome]:
        """Wait for a row. Raises the ``StorageError`` that ended a worker's work."""
        ...


class Alone:
    """One alone: rows are done where they are given."""

    def __init__(self, workplace: Workplace, through: Through | None) -> None:
        self._workplace = workplace
        self._through = through
        self._done: deque[tuple[Item, Outcome]] = deque()

    @property
    def has_room(self) -> bool:
        return not self._done

    @property
    def is_at_work(self) -> bool:
        return bool(self._done)

    def give(self, task: Task) -> None:
        outcome = self._workplace.work(task.item, task.record, task.scene, self._through)
        self._done.append((task.item, outcome))

    def take(self) -> tuple[Item, Outcome]:
        return self._done.popleft()


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Task | None = None
    tries: int = 0

    def give(self, task: Task, tries: int) -> None:
        self.task, self.tries = task, tries
        self.connection.send(task)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class Workers:
    """``count`` processes, each started when it is first needed and again when it was killed.

    Rows that are whole need none as long as none is started: each would load all that scaling takes.
    """

    def __init__(self, count: int, workplace: Workplace, autoencoder_device: str) -> None:
        self._count = count
        self._workplace = workplace
        self._autoencoder_device = autoencoder_device
        self._workers: list[_Worker] = []
        self._whole: deque[Item] = deque()
        # Starting afresh costs a second each; forked, a worker would have locks that other threads held.
        self._context = get_context("spawn")

    @property
    def has_room(self) -> bool:
        return not self._whole and len(self._busy()) < self._count

    @property
    def is_at_work(self) -> bool:
        return bool(self._whole or self._busy())

    def give(self, task: Task) -> None:
        if not self._workers and self._workplace.is_whole(task.item, task.record):
            self._whole.append(task.item)
        else:
            self._idle().give(task, tries=1)

    def take(self) -> tuple[Item, Outcome]:
        if self._whole:
            return self._whole.popleft(), Outcome(kept=True)
        while True:
            ready = wait([worker.connection for worker in self._busy()])
            worker = next(worker for worker in self._busy() if worker.connection in ready)
            assert worker.task is not None
            item = worker.task.item
            try:
                answer = worker.connection.recv()
            except (EOFError, ConnectionError):
                if (outcome := self._killed(worker)) is not None:
                    return item, outcome
                continue
            worker.task = None
            if isinstance(answer, Outcome):
                return item, answer
            kind, problem, remedy = answer
            raise kind(problem, remedy)

    def end(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.task is not None]

    def _idle(self) -> _Worker:
        for worker in list(self._workers):
            if worker.task is None and worker.process.is_alive():
                return worker
        return self._started()

    def _started(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._workplace, self._autoencoder_device), daemon=True
        )
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _killed(self, worker: _Worker) -> Outcome | None:
        """Try the row of a killed worker once more, or give it up."""
        self._workers.remove(worker)
        worker.end()
        assert worker.task is not None
        if worker.tries < _MOST_TRIES:
            self._started().give(worker.task, worker.tries + 1)
            return None
        remove_outputs(self._workplace.folder, worker.task.item.outputs)
        return Outcome(state="failed", reason=KILLED)


@contextmanager
def hands_of(jobs: int, workplace: Workplace, through: Through | None, autoencoder_device: str) -> Iterator[Hands]:
    """As many hands as ``jobs``. ``through`` is for one process alone; workers load the autoencoder themselves."""
    if jobs == 1:
        yield Alone(workplace, through)
        return
    workers = Workers(jobs, workplace, autoencoder_device)
    try:
        yield workers
    finally:
        workers.end()


def _serve(connection: Connection, workplace: Workplace, autoencoder_device: str) -> None:
    """Be a worker: answer every task by its outcome, or by what ends the work."""
    # Interrupted from the terminal, the process that gives out rows ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    through: Through | None = None
    try:
        threads = workplace.threads or 1
        cv2.setNumThreads(threads)
        if workplace.settings.autoencoder is not None:
            through = load_autoencoder(workplace.settings.autoencoder, autoencoder_device, threads)
        while True:
            task: Task = connection.recv()
            connection.send(workplace.work(task.item, task.record, task.scene, through))
    except EOFError:
        return
    except VdaError as error:
        connection.send((type(error), error.problem, error.remedy))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
