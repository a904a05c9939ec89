"""Progress on standard error: what is told of time, on a terminal and without one."""

import io
import re
import sys

import pytest

from vda.cli.progress import Progress
from vda.reporter import Noted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_stage_that_expects_shows_that_and_no_rate_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    progress = Progress()
    progress.begin("computing depth", 1000)
    progress.expect(None, None)
    progress.at(500)
    progress.close()
    assert "500/1000" in terminal.getvalue()
    assert not re.search(r"frames?/s|left|, *[0-9.?]+(it|frame)", terminal.getvalue().split("500/1000")[-1])
    progress.begin("computing depth", 1000)
    progress.expect(12.34, 3 * 3600)
    progress.at(600)
    progress.close()
    assert "12.3 frames/s, 3 h 0 min left" in terminal.getvalue()


def test_lines_say_what_is_expected(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("vda.cli.progress._LINE_SECONDS", 0.0)
    progress = Progress()
    progress.begin("computing depth", 1000)
    # Through what keeps sentences as well.
    noted = Noted(progress)
    noted.expect(None, None)
    noted.at(22)
    noted.expect(2.0, 489.0)
    noted.at(44)
    assert capsys.readouterr().err == (
        "computing depth: 22 of 1000 frames\ncomputing depth: 44 of 1000 frames, 2.0 frames/s, 8 min left\n"
    )


def test_a_sentence_does_not_end_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    progress = Progress()
    progress.begin("computing depth", 10)
    progress.say("film.mp4 is merged.")
    progress.at(10)
    progress.close()
    _, after = terminal.getvalue().split("film.mp4 is merged.\n")
    assert "10/10" in after


def test_more_frames_than_the_container_claims_are_no_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vda.cli.progress._LINE_SECONDS", 0.0)
    progress = Progress()
    progress.begin("counting frames", 100)
    progress.at(50)
    progress.at(150)
    within, beyond = capsys.readouterr().err.splitlines()
    assert "50 of 100 frames" in within and "left" in within
    assert "150 frames" in beyond and "100" not in beyond and "left" not in beyond
