"""``vda view`` asked without a browser: who is let in, what is answered and refused, what a kept file holds."""

import base64
import gc
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from clips import number_in
from pictures import read_codes
from viewscenes import LABEL, LENS, by_formula, view_scene, write_poses, write_tracks

import vda
from vda.api.looking import view_settings
from vda.calibration.fit import Calibration, save_calibration
from vda.calibration.identity import Fingerprint
from vda.cli.view import view as view_command
from vda.errors import VdaError, WorkError
from vda.reporter import Noted
from vda.scene.scene import Scene
from vda.video import Frame
from vda.viewing.door import Door, _Guard, bound, opened
from vda.viewing.film import Film
from vda.viewing.settings import exposure
from vda.viewing.stage import keep_view, open_view

pytest.importorskip("viser")
LENS_OF: Any = {"fx": 120.0, "fy": 121.0, "cx": 81.0, "cy": 58.0}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return view_scene(tmp_path_factory.mktemp("view") / "film")


@pytest.fixture(scope="module")
def door(scene: Scene) -> Iterator[Door]:
    tracks = write_tracks(scene.root.parent / "tracks.json")
    poses = write_poses(scene.root.parent / "cameras.json")
    with open_view(view_settings(scene.root, tracks=tracks, poses=poses)) as found:
        yield found


def ask(door: Door, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(door.host, door.port, timeout=240)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def given(door: Door, name: str) -> bytes:
    status, _, body = ask(door, f"/{door.token}/{name}")
    assert status == 200, (name, body)
    return body


def codes_of(door: Door, place: int) -> np.ndarray:
    facts = json.loads(given(door, "facts.json"))
    return np.frombuffer(given(door, f"depth/{place}"), "<u2").reshape(facts["height"], facts["width"])


def picture_at(door: Door, name: str) -> np.ndarray:
    """The picture of that name in RGB, by OpenCV."""
    image = cv2.imdecode(np.frombuffer(given(door, name), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image[..., ::-1]


class TestTheDoor:
    @pytest.mark.parametrize("name", ["", "page.js", "facts.json", "picture/0", "depth/0", "cloud/", "cloud"])
    @pytest.mark.parametrize("token", [None, "", "x" * 32, "cloud"])
    def test_without_the_token_there_is_nothing(self, door: Door, name: str, token: str | None) -> None:
        path = f"/{name}" if token is None else f"/{token}/{name}"
        status, headers, body = ask(door, path)
        assert (status, body) == (403, b"Nothing is here without the token.\n")
        assert "Set-Cookie" not in headers

    def test_part_of_the_token_and_more_than_it_are_not_it(self, door: Door) -> None:
        assert {ask(door, f"/{token}/")[0] for token in (door.token[:-1], door.token + "x")} == {403}
        # As long as a password that nobody guesses: 24 bytes are 32 letters.
        assert len(door.token) == 32

    def test_a_ticket_opens_once(self, door: Door) -> None:
        path = "/" + door.ticket().split("/", 3)[3]
        assert door.token not in path
        status, headers, _ = ask(door, path)
        assert (status, headers["Location"]) == (302, f"/{door.token}/")
        assert ask(door, path)[0] == 403

    def test_nor_is_there_a_websocket(self, door: Door) -> None:
        client = pytest.importorskip("websockets.sync.client")
        invalid = pytest.importorskip("websockets.exceptions").InvalidStatus
        for path in ("", "cloud", "nobody/cloud"):
            with pytest.raises(invalid, match="403"):
                client.connect(f"ws://{door.host}:{door.port}/{path}", subprotocols=["viser-v1.1.1"])
        version = pytest.importorskip("viser").__version__
        url = f"ws://{door.host}:{door.port}/{door.token}/cloud"
        with client.connect(url, subprotocols=[f"viser-v{version}"], max_size=None) as connection:
            assert connection.recv(timeout=240)

    def test_no_page_may_load_anything_from_elsewhere(self, door: Door) -> None:
        for name in ("", "page.js", "cloud/", "facts.json"):
            _, headers, _ = ask(door, f"/{door.token}/{name}")
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'")
            hosts = set(re.findall(r"(?:https?|wss?)://[^\s;]*|\*", policy))
            assert hosts <= {f"ws://{door.host}:{door.port}"}
            assert headers["Referrer-Policy"] == "no-referrer" and headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize(
        "name", ["../x", "picture/12", "picture/-1", "picture/1e3", "depth/", "nothing/0", "%00"]
    )
    def test_other_names_are_not_there(self, door: Door, name: str) -> None:
        assert ask(door, f"/{door.token}/{name}")[0] == 404

    def test_it_is_on_loopback_and_closed_at_the_end(self, scene: Scene) -> None:
        with open_view(view_settings(scene.root)) as found:
            assert found.host == "127.0.0.1"
            assert ask(found, f"/{found.token}/")[0] == 200
        with pytest.raises(OSError):
            ask(found, f"/{found.token}/")

    def test_a_viser_that_lets_everybody_in_is_closed_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_Guard, "_asking", lambda self, of_viser: of_viser)
        with (
            bound("127.0.0.1", 0) as socket_,
            pytest.raises(WorkError, match="to everybody"),
            opened(lambda name: None, socket_),
        ):
            pytest.fail("it was opened")

    @pytest.mark.parametrize(
        ("host", "seen_by_others"),
        [
            *((host, False) for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost")),
            *((host, True) for host in ("0.0.0.0", "::", "192.168.1.5", "film.example")),
        ],
    )
    def test_a_host_that_others_reach_is_warned_of(self, host: str, seen_by_others: bool) -> None:
        assert (exposure(host) is not None) == seen_by_others


class TestWhatIsGiven:
    def test_codes_are_those_of_the_images(self, scene: Scene, door: Door) -> None:
        for place in (0, 7):
            np.testing.assert_array_equal(codes_of(door, place), read_codes(scene.depth_path(place)))

    @pytest.mark.parametrize("coding", ["linear", "sqrt", "log"])
    def test_values_are_those_of_the_formula(self, tmp_path: Path, coding: str) -> None:
        scene = view_scene(tmp_path / "film", 2, coding=coding)
        with open_view(view_settings(scene.root)) as found:
            values = np.frombuffer(given(found, "values"), "<f4")
        assert len(values) == 65536 and np.isnan(values[0])
        for code in (1, 2, 1000, 40_000, 65_535):
            assert values[code] == pytest.approx(by_formula(scene, code), rel=1e-6)

    def test_near_is_bright(self, scene: Scene, door: Door) -> None:
        colours = np.frombuffer(given(door, "colours"), np.uint8).reshape(-1, 3).astype(int)
        light = colours.sum(1)[1:]
        assert (np.diff(light) >= -6).all() and light[-1] - light[0] > 300

    def test_pictures_are_the_frames_in_whatever_order_they_are_asked_for(self, door: Door) -> None:
        for place in (0, 11, 3, 4, 5, 2, 2, 10):
            assert number_in(picture_at(door, f"picture/{place}")) == place

    def test_a_range_of_a_film_keeps_its_numbers(self, tmp_path: Path) -> None:
        scene = view_scene(tmp_path / "film", 12)
        record = json.loads(scene.depth_record_path.read_text())
        # Every third frame from the second on, as after --stride 3.
        chosen = [1, 4, 7, 10]
        for frame in set(range(12)) - set(chosen):
            scene.depth_path(frame).unlink()
        scene.calibration_path.unlink()
        thinned = {**record, "frames": 4, "frame_indices": chosen, "thinning": {"stride": 3}}
        scene.depth_record_path.write_text(json.dumps(thinned))
        with open_view(view_settings(scene.root)) as found:
            assert json.loads(given(found, "facts.json"))["frames"] == chosen
            assert number_in(picture_at(found, "picture/2")) == 7
            np.testing.assert_array_equal(codes_of(found, 2), read_codes(scene.depth_path(7)))

    def test_floats_are_given_as_the_nearest_codes(self, tmp_path: Path) -> None:
        scene = view_scene(tmp_path / "film", 3)
        codes = np.stack([read_codes(scene.depth_path(frame)) for frame in range(3)])
        record = json.loads(scene.depth_record_path.read_text())
        values = record["offset"] + record["scale"] * codes.astype(np.float64)
        values[codes == 0] = np.nan
        for frame in range(3):
            scene.depth_path(frame).unlink()
        np.savez(scene.merged_dir / "depths.npz", depths=values.astype(np.float32))
        with open_view(view_settings(scene.root)) as found:
            assert np.abs(codes_of(found, 1).astype(int) - codes[1]).max() <= 1
            assert (codes_of(found, 0)[:30, :30] == 0).all()

    def test_tracks_are_in_pixels_of_the_depth(self, door: Door) -> None:
        [thing] = json.loads(given(door, "things/3"))
        # Ultralytics counts from the corner of the first pixel, we from its middle.
        assert thing["box"] == [19.5, 9.5, 59.5, 39.5]
        assert thing["name"] == "board 7"

    def test_the_scenes_own_tracks_are_taken(self, tmp_path: Path) -> None:
        scene = view_scene(tmp_path / "film", 12)
        write_tracks(scene.root / "tracks_3d.json", label="own")
        with open_view(view_settings(scene.root)) as found:
            assert json.loads(given(found, "things/3"))[0]["name"] == "own 7"

    def test_metres_come_with_their_fit_and_relative_depth_has_none(self, scene: Scene, tmp_path: Path) -> None:
        with open_view(view_settings(scene.root)) as found:
            facts = json.loads(given(found, "facts.json"))
        assert facts["unit"] == "m" and facts["kind"] == "inverse_depth"
        assert [(fit["scale"], fit["shift"]) for fit in facts["fits"]] == [(0.2, 0.03)]
        relative = view_scene(tmp_path / "film", 2, calibrated=False)
        with open_view(view_settings(relative.root)) as found:
            facts = json.loads(given(found, "facts.json"))
        assert facts["unit"] == ""
        assert any("relative" in note for note in facts["notes"])
        assert any("60 degrees" in note for note in facts["notes"])

    def test_metres_of_other_depth_are_not_shown(self, tmp_path: Path) -> None:
        scene = view_scene(tmp_path / "film", 3)
        other = Fingerprint.of([0, 1, 2], lambda frame: np.full((120, 160), 1.0 + frame))
        save_calibration(Calibration(0.2, 0.03, made_for=other), scene.calibration_path)
        told = Noted(None)
        with open_view(view_settings(scene.root), reporter=told) as found:
            assert json.loads(given(found, "facts.json"))["unit"] == ""
        assert any("Lengths are not shown" in said and "made for other depth" in said for said in told.said)

    def test_shots_with_scales_of_their_own_are_said(self, tmp_path: Path) -> None:
        scene = view_scene(tmp_path / "film", 4, calibrated=False)
        record = json.loads(scene.depth_record_path.read_text())
        shots = [{"start_frame": a, "end_frame": a + 2, "scale": [1.0], "shift": [0.0]} for a in (0, 2)]
        scene.depth_record_path.write_text(json.dumps({**record, "shots": shots}))
        with open_view(view_settings(scene.root)) as found:
            notes = json.loads(given(found, "facts.json"))["notes"]
        assert "Each of its 2 shots has a scale of its own." in notes

    def test_points_are_counted(self, door: Door) -> None:
        assert 1000 < json.loads(given(door, "points/4"))["points"] <= 160 * 120


def test_memory_is_that_of_a_few_frames(tmp_path: Path) -> None:
    film = Film.of(view_scene(tmp_path / "film", 60).root)
    for place in range(60):
        film.jpeg(place)
        film.codes(place)
    gc.collect()
    # Nobody else has frames of this film.
    assert sum(type(one) is Frame and one.rgb.shape == (120, 160, 3) for one in gc.get_objects()) < 16


def test_a_look_prints_the_address_and_ends_with_ctrl_c(scene: Scene) -> None:
    command = [sys.executable, "-m", "vda", "view", str(scene.root), "--no-browser", *LENS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(url, timeout=240) as page:
            assert "<h1>film</h1>" in page.read().decode()
        assert process.stderr is not None
        assert process.stderr.readline() == "The page is there until Ctrl-C.\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=240) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("display", "options", "opened_there"), [(":0", [], True), (":0", ["--no-browser"], False), ("", [], False)]
)
def test_a_browser_is_opened_where_there_is_a_display(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, display: str, options: list[str], opened_there: bool
) -> None:
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    asked: list[str] = []
    monkeypatch.setattr("webbrowser.open", asked.append)
    with patch.object(sys.modules["vda.cli.view"], "_until_interrupted"):
        result = CliRunner().invoke(view_command, [str(scene.root), *options])
    assert result.exit_code == 0
    token = result.stdout.split("/")[3]
    assert len(asked) == opened_there and not any(token in url for url in asked)


def test_from_python_it_is_served_until_it_is_closed_or_kept_in_a_file(scene: Scene, tmp_path: Path) -> None:
    with vda.view(scene.root, no_browser=True) as page:
        assert page.url is not None and page.path is None
        with urllib.request.urlopen(page.url, timeout=240) as answer:
            assert answer.status == 200
    with pytest.raises(OSError):
        urllib.request.urlopen(page.url, timeout=240)
    kept = vda.view(scene.root, export=tmp_path / "page.html", export_frames=2)
    assert kept.url is None and kept.path == tmp_path / "page.html" and kept.path.is_file()
    with pytest.raises(VdaError, match="none is to be written"):
        vda.view(scene.root, export_frames=2)


def test_a_frame_whose_depth_is_damaged_costs_no_other(tmp_path: Path) -> None:
    scene = view_scene(tmp_path / "film", 6, calibrated=False)
    with open_view(view_settings(scene.root)) as found:
        scene.depth_path(3).write_bytes(scene.depth_path(3).read_bytes()[:200])
        status, _, body = ask(found, f"/{found.token}/depth/3")
        assert status == 404 and b"depth_000003.png" in body
        assert ask(found, f"/{found.token}/points/3")[0] == 404
        np.testing.assert_array_equal(codes_of(found, 4), read_codes(scene.depth_path(4)))
        assert json.loads(given(found, "points/4"))["points"]


def refused(*arguments: object) -> Result:
    served = patch.object(sys.modules["vda.cli.view"], "_until_interrupted", side_effect=AssertionError("served"))
    with served:
        result = CliRunner().invoke(view_command, [*map(str, arguments), "--no-browser"])
    assert result.exit_code == 2, result.output
    first, second = result.output.removeprefix("Error: ").strip().splitlines()
    assert first.endswith(".") and second.endswith((".", "first."))
    return result


class TestWhatIsRefused:
    def test_a_scene_that_is_not_merged(self, scene: Scene, tmp_path: Path) -> None:
        copy = Scene(Path(shutil.copytree(scene.root, tmp_path / "film")))
        copy.depth_record_path.unlink()
        assert "vda merge" in refused(copy.root).output
        assert "is not a scene" in refused(tmp_path).output

    def test_a_film_that_is_gone(self, scene: Scene, tmp_path: Path) -> None:
        copy = Scene(Path(shutil.copytree(scene.root, tmp_path / "film")))
        video = json.loads(copy.video_path.read_text())
        away = {**video, "path": str(tmp_path / "gone.mp4"), "path_from_scene": "gone.mp4"}
        copy.video_path.write_text(json.dumps(away))
        assert "gone.mp4" in refused(copy.root).output

    def test_a_port_that_is_taken(self, scene: Scene) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            told = refused(scene.root, "--port", port).output
        assert f"port {port}" in told and "--port" in told

    def test_a_machine_without_viser(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "viser", None)
        assert "pip install 'vda-toolkit[view]'" in refused(scene.root).output

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda path: write_tracks(path, shift=1000.0), "lies within"),
            (lambda path: write_tracks(path, range(0)), None),
        ],
    )
    def test_tracks_that_lie_elsewhere(self, scene: Scene, tmp_path: Path, make: Any, words: str | None) -> None:
        path = make(tmp_path / "tracks.json")
        if words is not None:
            assert words in refused(scene.root, "--tracks", path).output
        else:
            # A tracker that found nothing is of any film.
            with open_view(view_settings(scene.root, tracks=path)):
                pass

    def test_tracks_of_other_frames_or_another_size(self, scene: Scene, tmp_path: Path) -> None:
        path = tmp_path / "det.txt"
        path.write_text("400,1,20,10,40,30,1,-1,-1,-1\n")
        told = refused(scene.root, "--tracks", path, "--frame-base", 1).output
        assert "frames 399 to 399" in told and "frames 0 to 11" in told
        square = refused(
            scene.root, "--tracks", write_tracks(tmp_path / "a.json"), "--track-size", "100x100"
        ).output
        assert "100x100" in square and "160x120" in square

    def test_wishes_that_have_no_use_together(self, scene: Scene, tmp_path: Path) -> None:
        (tmp_path / "there.html").touch()
        assert "--export-frames" in refused(scene.root, "--export-frames", 3).output
        assert "--overwrite" in refused(scene.root, "--export", tmp_path / "there.html").output
        assert "--host" in refused(scene.root, "--export", tmp_path / "a.html", "--host", "0.0.0.0").output
        assert "--poses" in refused(scene.root, "--by-order").output
        assert "colour map" in refused(scene.root, "--colormap", "no-such").output

    def test_poses_of_another_unit_than_the_depth(self, tmp_path: Path) -> None:
        scene = view_scene(tmp_path / "film", 12, calibrated=False)
        assert "Relative depth" in refused(scene.root, "--poses", write_poses(tmp_path / "cameras.json")).output


@contextmanager
def kept_in(path: Path) -> Iterator[dict[str, Any]]:
    [text] = re.findall(r'<script type="application/json" id="kept">(.*?)</script>', path.read_text(), re.DOTALL)
    yield json.loads(text)


@pytest.fixture(scope="module")
def page(scene: Scene) -> Path:
    tracks = write_tracks(scene.root.parent / "labels.json", label=LABEL)
    path = scene.root.parent / "view.html"
    options = ["--export", path, "--export-frames", 4, "--tracks", tracks, *LENS]
    result = CliRunner().invoke(view_command, list(map(str, [scene.root, *options])))
    assert result.exit_code == 0, result.output
    assert "4 of 12 frames" in result.output
    return path


def summed(text: str, width: int, height: int) -> np.ndarray:
    """Codes as a kept page has them: differences along each row, all high bytes first, then all low ones."""
    parts = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(2, height, width)
    return np.cumsum(parts[0].astype(np.uint16) * 256 + parts[1], axis=1, dtype=np.uint16)


class TestKept:
    def test_depth_comes_back_code_by_code(self, scene: Scene, page: Path) -> None:
        with kept_in(page) as kept:
            assert kept["facts"]["frames"] == [0, 4, 7, 11]
            for frame, found in zip(kept["facts"]["frames"], kept["frames"], strict=True):
                codes = summed(found["depth"], 160, 120)
                np.testing.assert_array_equal(codes, read_codes(scene.depth_path(frame)))

    def test_of_a_wide_film_there_is_every_nth_pixel(
        self, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vda.viewing.keeping._WIDEST", 60)
        tracks = write_tracks(tmp_path / "tracks.json")
        settings = view_settings(scene.root, export=tmp_path / "a.html", export_frames=2, tracks=tracks, **LENS_OF)
        keep_view(settings)
        with kept_in(tmp_path / "a.html") as kept:
            facts, [found, _] = kept["facts"], kept["frames"]
            assert (facts["width"], facts["height"], facts["step"]) == (54, 40, 3)
            assert any("1 of 3 pixels" in note and "(54 x 40)" in note for note in facts["notes"])
            np.testing.assert_array_equal(
                summed(found["depth"], 54, 40), read_codes(scene.depth_path(0))[::3, ::3]
            )
            # What is at pixel 19.5 of all is at 6.5 of these.
            assert found["things"][0]["box"] == [6.5, 9.5 / 3, 59.5 / 3, 39.5 / 3]

    def test_it_says_what_it_holds(self, page: Path) -> None:
        with kept_in(page) as kept:
            assert any("4 of 12 frames" in note and "(160 x 120)" in note for note in kept["facts"]["notes"])

    def test_nothing_of_the_machine_is_in_it(self, scene: Scene, page: Path) -> None:
        text = page.read_text()
        assert str(scene.root.parent) not in text
        assert str(Path(sys.prefix)) not in text

    def test_it_may_ask_nobody(self, page: Path) -> None:
        [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page.read_text())
        assert "default-src &#x27;none&#x27;" in policy and not re.search(r"https?:|wss?:|\*", policy)

    def test_viser_s_licence_goes_with_its_page(self, page: Path) -> None:
        text = page.read_text()
        assert "Apache License" in text and "Permission is hereby granted, free of charge" in text

    def test_names_are_no_html(self, scene: Scene, page: Path, tmp_path: Path) -> None:
        assert LABEL not in page.read_text()
        with kept_in(page) as kept:
            assert kept["frames"][0]["things"][0]["name"] == f"{LABEL} 7"
        odd = Path(shutil.copytree(scene.root, tmp_path / "<b onclick=x>&@title@<!--kept-->"))
        with open_view(view_settings(odd)) as found:
            served = given(found, "").decode()
        assert "<b onclick" not in served
        assert "&lt;b onclick=x&gt;&amp;@title@&lt;!--kept--&gt;" in served


def test_errors_are_two_sentences_for_programs_too(scene: Scene) -> None:
    with pytest.raises(VdaError) as found, open_view(view_settings(scene.root, port=1, host="203.0.113.1")):
        pass
    assert found.value.problem and found.value.remedy
