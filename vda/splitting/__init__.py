"""The stage that turns a video into a planned scene.

    stage    the video counted exactly, and its chunks planned
    extract  independent chunks as clips

Nothing here knows how a chunk is computed.
"""
