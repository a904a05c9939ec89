"""``vda status``: how far a scene is, once."""

import json
from pathlib import Path
from typing import Any

import click

from vda.cli.options import Command, json_option, scene_argument
from vda.cli.output import say
from vda.shown import duration


@click.command(cls=Command)
@scene_argument
@json_option
def status(scene: Path, as_json: bool) -> None:
    """Say how far the work on SCENE is, from its files, and from SLURM where it was handed over.

    Example: vda status data/film --json
    """
    from vda.api.engines import joined_status
    from vda.cluster.taskfiles import StagedCopy, copies_said
    from vda.scene.scene import Scene

    state = joined_status(Scene(scene).require())
    if as_json:
        say(json.dumps(state))
        return
    say(f"{state['scene']}: {state['state']}, {state['frames_done']} of {state['frames_total']} frames")
    _say_engine(state["engine"])
    if state["copies"] and state["state"] != "running":
        say(copies_said([StagedCopy(**copy) for copy in state["copies"]]))
    if state["state"] == "merged" and not state["windows_done"]:
        say("The raw windows were removed once they were merged; the depth stays.")
    if state["shots"] > 1:
        say(f"{state['shots']} shots, each a sequence of its own")
    if state["model"]:
        say(f"Model: {state['model']}, in {state['precision_reason']}")
    if state["recomputed_windows"]:
        say(f"{state['recomputed_windows']} windows were computed again in float32")
    if state["paused"]:
        say(f"paused: {state['paused']}")
    for device in state["devices"]:
        pace = f", {device['fps']:.2f} frames/s" if device["fps"] else ""
        say(f"  {device['device']}: {device['phase']}{pace}")
    if state["fps"]:
        say(f"{state['fps']:.2f} frames/s, {duration(state['eta_seconds'])} left")
    for chunk in state["chunks"]:
        device = f" on {chunk['device']}" if chunk["device"] else ""
        error = f": {chunk['error']}" if chunk["error"] else ""
        done = f"{chunk['frames_done']} of {chunk['frames_total']} frames"
        task = f", task {chunk['task']} {chunk['task_state']}" if chunk.get("task") else ""
        say(f"  chunk {chunk['index']}: {chunk['state']}{device}, {done}{task}{error}")


def _say_engine(engine: dict[str, Any] | None) -> None:
    if engine is None:
        return
    if engine["problem"]:
        say(f"{engine['problem']} This is what the files tell.")
        return
    jobs = f"SLURM: {engine['running']} tasks run, {engine['waiting']} wait"
    live = f" (job {', '.join(engine['live_jobs'])})" if engine["live_jobs"] else ""
    say(f"{jobs}{live}{'; it keeps no account of jobs that ended' if engine['accounting'] is False else ''}")
