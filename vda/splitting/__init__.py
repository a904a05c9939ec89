"""The stage that turns a video into a planned scene.

    inputs   what was typed, as videos: folders, globs, lists
    stage    the video counted exactly, and its chunks planned
    extract  independent chunks as clips

Nothing here knows how a chunk is computed.
"""
