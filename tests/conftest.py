"""One thread for every test, and the mark of those that run something whole.

Two threads would spin at each other's barriers on a busy machine. ``make test-fast`` leaves out what has the mark.
"""

import os
import re
from functools import cache
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

# With these helpers a test runs the program, a network or a data set as a whole: no figures have to be kept up to
# date to know that it takes long.
_WHOLE = re.compile(r"\b(?:from|import) (?:chaos|data_sets|depth_runs|exampleworld|fvc_kills|seeded)\b")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _runs_something_whole(item.path):
            item.add_marker("whole")


@cache
def _runs_something_whole(path: Path) -> bool:
    return bool(_WHOLE.search(path.read_text()))
