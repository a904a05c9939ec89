"""One thread for every test, Ctrl-C, the mark of those that run something whole, and clusters only if asked for.

Two threads would spin at each other's barriers on a busy machine. ``make test-fast`` leaves out what has the mark.
What runs something whole comes first: at the end of all tests no core is idle while another has a long file left.
"""

import os
import re
import signal
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that runs tests in the background has them ignore SIGINT, and so would every program that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples that Hypothesis draws may take their time, for the machine may be busy, and are always the same: what
# one run finds is no riddle in the next. Others are drawn where slow tests are asked for.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize="VDA_SLOW_TESTS" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")

_CLUSTER = Path(__file__).with_name("cluster")
# With these helpers a test runs the program, a network or a data set as a whole: no figures have to be kept up to
# date to know that it takes long. Other files that do have the mark by name.
_WHOLE = re.compile(r"\b(?:from|import) (?:chaos|data_sets|depth_runs|exampleworld|fvc_kills|seeded)\b")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _runs_something_whole(item.path):
            item.add_marker("whole")
    items.sort(key=lambda item: item.get_closest_marker("whole") is None)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Tests with a cluster take minutes: they run by their mark or their path, and not with all the others."""
    asked = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    named = "cluster" in config.option.markexpr or any(path.is_relative_to(_CLUSTER) for path in asked)
    return True if collection_path == _CLUSTER and not named else None


@cache
def _runs_something_whole(path: Path) -> bool:
    return bool(_WHOLE.search(path.read_text()))
