"""From a video and somebody's tracks to depth in metres and positions in space, with the library.

    python docs/examples/depth_and_tracks.py data/sample.mp4 data/sample_tracks.json out --known-size 1.755,person

Writes a scene, the tracks with positions, and ``window.npy``: eight frames of depth in metres. Run it again: what
is finished is not computed again.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

import vda


def main() -> None:
    asked = arguments()
    try:
        depth_to_tracks(asked.video, asked.tracks, asked.out, asked.known_size, asked.model, asked.frames)
    except vda.VdaError as error:
        # Every error says what is wrong and what to do.
        sys.exit(f"{error.problem}\n{error.remedy}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A video and tracks to depth in metres and positions in space.")
    parser.add_argument("video", type=Path)
    parser.add_argument("tracks", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--known-size", required=True, help="how tall the tracked things are: METRES or METRES,CLASS"
    )
    parser.add_argument("--model", default="mini", help="mini is built in; auto is the official small one")
    parser.add_argument("--frames", type=int, default=24, help="number of frames, from the first")
    return parser.parse_args()


def depth_to_tracks(video: Path, tracks: Path, out: Path, known_size: str, model: str, frames: int) -> None:
    scene = out / "scene"
    depth = vda.depth(video, scene, model=model, frames=(0, frames), create_video=False)
    print(f"{len(depth)} frames of {depth.width} x {depth.height}: {depth.kind}, {depth.unit}")

    # Relative depth has no metres. Things of known height in the tracks give them, and the scene keeps that.
    enriched = out / "tracks_3d.json"
    report = vda.enrich(scene, tracks=tracks, output=enriched, known_size=known_size, overwrite=True)
    print(f"{report.enriched} of {report.records} records have a position")
    for reason, count in report.skipped.items():
        print(f"  {count} skipped: {reason}")

    save_window(scene, out / "window.npy")
    for track, path in positions(enriched).items():
        x, y, z = path[-1]
        print(f"track {track}: {len(path)} positions, the last {x:.2f} m right, {y:.2f} m down, {z:.2f} m ahead")


def save_window(scene: Path, path: Path) -> None:
    """Eight frames in metres, float32 ``[8, height, width]``; no more than these are held."""
    with vda.open_depth(scene) as depth:
        window = depth.metres[:8]
        np.save(path, window)
        assert depth.times is not None
        for time, frame in zip(depth.times, window, strict=False):
            print(f"{time:.2f} s: half of the picture is nearer than {np.nanmedian(frame):.2f} m")


def positions(enriched: Path) -> dict[int, list[tuple[float, float, float]]]:
    """Where each track was, frame by frame: camera coordinates, x right, y down, z forward, in metres."""
    paths: dict[int, list[tuple[float, float, float]]] = {}
    for record in json.loads(enriched.read_text())["tracks"]:
        if place := record.get("vda_position_3d"):
            paths.setdefault(record["track_id"], []).append((place["x"], place["y"], place["z"]))
    return paths


if __name__ == "__main__":
    main()
