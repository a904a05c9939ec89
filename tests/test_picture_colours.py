"""Colours against arithmetic: PQ and HLG by BT.2100, BT.2390 and BT.2408, wide numbers of bits, and wrong tags."""

import json
import math
from pathlib import Path

import clips
import numpy as np
import pytest

from vda.errors import SceneError, UsageError
from vda.picture.signal import SignalChoice
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split
from vda.video import VideoInfo, index_frames, notes_of, probe, read_frames

# H.273: primaries, matrix and transfer.
PQ, HLG, P3_PQ = (9, 9, 16), (9, 9, 18), (12, 9, 16)
BT709, UNTAGGED = (1, 1, 1), (2, 2, 2)
SHARES_709 = (0.2126, 0.0722)
SIDE, TILES = 8, 12
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
# ITU-R BT.2087-0, equation for M2 (linear BT.2020 to linear BT.709), as it is printed.
PRINTED = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
X_TO_709 = [
    [3.2404542, -1.5371385, -0.4985314],
    [-0.9692660, 1.8760108, 0.0415560],
    [0.0556434, -0.2040259, 1.0572252],
]


def chart() -> np.ndarray:
    """R'G'B' 0..1 of 144 tiles, float [96, 96, 3]: greys, pure colours at three levels, and colours at random."""
    greys = [[level] * 3 for level in np.linspace(0, 1, 24)]
    pure = [[level * bit for bit in bits] for level in (0.35, 0.6, 0.9) for bits in np.ndindex(2, 2, 2)]
    random = np.random.default_rng(3).uniform(0, 0.85, (TILES**2 - len(greys) - len(pure), 3))
    tiles = np.concatenate([greys, pure, random]).reshape(TILES, TILES, 3)
    return tiles.repeat(SIDE, 0).repeat(SIDE, 1)


def tiles_of(rgb: np.ndarray) -> np.ndarray:
    """The middle of each tile, [144, 3]."""
    return rgb[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE].reshape(-1, 3)


def pq_to_nits(signal: float) -> float:
    """BT.2100, table 4: 10000 * (max(N^(1/m2) - c1, 0) / (c2 - c3 * N^(1/m2)))^(1/m1)."""
    root = signal ** (1 / 78.84375)
    return 10000 * (max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)


def nits_to_pq(nits: float) -> float:
    power = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg_to_scene(signal: float) -> float:
    """BT.2100, table 5, with the scene's light from 0 to 1."""
    if signal <= 0.5:
        return signal**2 / 3
    return (math.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12


def eetf(nits: float, peak: float, target: float = 203) -> float:
    """BT.2390-10, section 5.4.1, steps 1 to 5, with both blacks at 0."""
    whole = nits_to_pq(peak)
    e1, most = min(nits_to_pq(nits) / whole, 1), nits_to_pq(target) / whole
    start = 1.5 * most - 0.5
    if e1 < start:
        return nits
    t = (e1 - start) / (1 - start)
    e2 = (2 * t**3 - 3 * t**2 + 1) * start + (t**3 - 2 * t**2 + t) * (1 - start) + (-2 * t**3 + 3 * t**2) * most
    return pq_to_nits(e2 * whole)


def to_xyz(corners: tuple[tuple[float, float], ...]) -> np.ndarray:
    """RGB to XYZ by SMPTE RP 177, white D65."""
    rows = np.array([[x, y, 1 - x - y] for x, y in corners])
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return (rows * np.linalg.solve(rows.T, white)[:, None]).T


def expected(signal: np.ndarray, transfer: str, peak: float = 1000, corners: tuple = BT2020) -> np.ndarray:
    """What a standard screen should be given for R'G'B' ``signal`` [n, 3]: 0 to 255, float."""
    to_709 = np.array(X_TO_709) @ to_xyz(corners)
    shown = []
    for colour in np.clip(signal, 0, 1).tolist():
        if transfer == "pq":
            light = [pq_to_nits(part) for part in colour]
        else:
            scene = [hlg_to_scene(part) for part in colour]
            luminance = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2]
            light = [peak * luminance**0.2 * part for part in scene]
        brightest = max(light)
        dim = eetf(brightest, peak) / brightest if brightest else 0
        linear = np.clip(to_709 @ np.array(light) * dim / 203, 0, 1)
        shown.append(255 * linear ** (1 / 2.4))
    return np.array(shown)


def shown(path: Path, color: str = "auto") -> np.ndarray:
    info = probe(path, SignalChoice(color=color))
    return tiles_of(next(read_frames(info, index_frames(info), 0, 1)).rgb).astype(float)


def test_the_formulas_give_the_values_that_are_printed() -> None:
    # BT.2408-7, table 1: HDR reference white, 203 cd/m2, is 58 % PQ and 75 % HLG; 1000 cd/m2 is 75 % PQ.
    assert nits_to_pq(203) == pytest.approx(0.58, abs=0.005)
    assert nits_to_pq(1000) == pytest.approx(0.7518, abs=1e-4)
    assert 1000 * hlg_to_scene(0.75) ** 1.2 == pytest.approx(203, abs=1)
    assert np.array(X_TO_709) @ to_xyz(BT2020) == pytest.approx(np.array(PRINTED), abs=2e-3)
    assert eetf(1000, 1000) == pytest.approx(203)


@pytest.mark.parametrize(
    ("transfer", "tags", "full", "bits", "corners"),
    [
        ("pq", PQ, False, 10, BT2020),
        ("pq", PQ, True, 10, BT2020),
        ("pq", PQ, False, 12, BT2020),
        ("pq", P3_PQ, False, 10, P3),
        ("hlg", HLG, False, 10, BT2020),
        ("hlg", HLG, True, 12, BT2020),
    ],
)
def test_high_range_is_shown_as_the_formulas_say(
    tmp_path: Path, transfer: str, tags: tuple[int, int, int], full: bool, bits: int, corners: tuple
) -> None:
    path = clips.make_signal_clip(tmp_path / "a.mp4", chart(), tags=tags, full=full, bits=bits)
    away = np.abs(shown(path) - expected(tiles_of(chart()), transfer, corners=corners))
    # Half a step of 10 bits is up to 1.5 % of the light, and more of a colour that is nearly out of gamut.
    assert away.mean() < (0.3 if bits == 12 else 0.6)
    assert away[:24].max() < 1.6
    assert np.percentile(away, 99) < 3


def test_the_mastering_display_says_what_is_brightest(tmp_path: Path) -> None:
    display = "G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(40000000,50)"
    path = clips.make_signal_clip(tmp_path / "a.mp4", chart(), options=f"master-display={display}")
    assert probe(path).colours.peak_nits == 4000
    assert np.abs(shown(path) - expected(tiles_of(chart()), "pq", 4000))[:24].max() < 1.6
    assert "PQ, up to 4000 cd/m2" in notes_of(probe(path), index_frames(probe(path)))[0]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [10, 12])
def test_standard_range_of_many_bits(tmp_path: Path, bits: int, full: bool) -> None:
    path = clips.make_signal_clip(tmp_path / "a.mp4", chart(), shares=SHARES_709, tags=BT709, full=full, bits=bits)
    assert np.abs(shown(path) - 255 * tiles_of(chart())).max() < 3
    assert probe(path).notes == ()


def test_what_is_tagged_wrongly_can_be_said(tmp_path: Path) -> None:
    tagged = clips.make_signal_clip(tmp_path / "a.mp4", chart(), tags=HLG)
    bare = clips.make_signal_clip(tmp_path / "b.mp4", chart(), tags=UNTAGGED)
    wrong = clips.make_signal_clip(tmp_path / "c.mp4", chart(), tags=BT709)
    for path in (bare, wrong):
        assert np.array_equal(shown(path, "hlg"), shown(tagged))
        assert not np.array_equal(shown(path), shown(tagged))
    standard = clips.make_signal_clip(tmp_path / "d.mp4", chart(), shares=SHARES_709, tags=PQ, full=True)
    assert np.abs(shown(standard, "sdr,bt709,full") - 255 * tiles_of(chart())).max() < 3
    assert np.abs(shown(standard, "sdr,bt709,limited") - 255 * tiles_of(chart())).max() > 10
    old = clips.make_signal_clip(tmp_path / "e.mp4", chart(), shares=(0.299, 0.114), tags=BT709)
    assert np.abs(shown(old, "bt601") - 255 * tiles_of(chart())).max() < 3
    assert np.abs(shown(old) - 255 * tiles_of(chart())).max() > 10


def test_any_frame_is_that_of_the_whole(tmp_path: Path) -> None:
    info = probe(clips.make_signal_clip(tmp_path / "a.mp4", chart(), tags=HLG, frames=6))
    assert VideoInfo.from_json(json.loads(json.dumps(info.to_json()))) == info
    index = index_frames(info)
    whole = [frame.rgb for frame in read_frames(info, index, 0, 6)]
    assert np.array_equal(next(read_frames(info, index, 4, 5)).rgb, whole[4])


def test_dolby_vision_of_its_own_colours_is_said(tmp_path: Path) -> None:
    path = clips.make_signal_clip(tmp_path / "a.mp4", chart(), tags=UNTAGGED)
    assert probe(path).notes == ()
    path.write_bytes(path.read_bytes().replace(b"hev1", b"dvh1"))
    assert "Dolby Vision, profile 5" in probe(path).notes[0]
    path = clips.make_signal_clip(tmp_path / "b.mp4", chart(), tags=HLG)
    path.write_bytes(path.read_bytes().replace(b"hev1", b"dvh1"))
    assert "HLG" in probe(path).notes[0]


@pytest.mark.parametrize("color", ["", "hdr", "pq,hlg", "bt709,", "auto,pq", "bt709,bt601"])
def test_words_that_say_nothing_are_refused(color: str) -> None:
    with pytest.raises(UsageError, match="--color"):
        PlanSettings(color=color)


def test_a_scene_keeps_how_its_pictures_are_taken(tmp_path: Path) -> None:
    path = clips.make_signal_clip(tmp_path / "a.mp4", chart(), tags=UNTAGGED)
    scene = Scene(tmp_path / "scene")
    split(path, scene, PlanSettings(color="hlg"))
    info, _ = scene.film()
    assert info.colours.transfer == "hlg"
    assert np.array_equal(tiles_of(next(read_frames(*scene.film(), 0, 1)).rgb), shown(path, "hlg"))
    split(path, scene)
    split(path, scene, PlanSettings(color="hlg"))
    assert scene.film()[0] == info
    for other in (PlanSettings(color="pq"), PlanSettings(deinterlace="on")):
        with pytest.raises(SceneError, match="--restart"):
            split(path, scene, other)
    split(path, scene, PlanSettings(color="auto"), restart=True)
    assert scene.film()[0].colours.transfer == "sdr"
