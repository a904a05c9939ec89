"""The stage that turns a video into a planned scene.

    inputs    what was typed, as videos: folders, globs, lists
    settings  what is asked of a plan
    draft     the video counted exactly, and its chunks planned, in memory
    stage     the same written as a scene
    cuts      where a film cuts, by PySceneDetect's detector
    shotlist  a list of shots in a file, written and read
    shotpage  pictures around the cuts, to be looked at
    pictures  which part of the pictures is computed: crop, mask, size
    extract   independent chunks as clips

Nothing here knows how a chunk is computed.
"""
