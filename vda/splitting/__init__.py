"""The stage that turns a video into a planned scene.

    inputs   what was typed, as videos: folders, globs, lists
    stage    the video counted exactly, and its chunks planned
    pictures  which part of the pictures is computed: crop, mask, size
    extract  independent chunks as clips

Nothing here knows how a chunk is computed.
"""
