"""The stage that turns raw windows into depth images.

    outputs  every format that merged depth is written in
    settings  what is asked of a merge, and what came of it
    frames   frames made by a pool, written in order, resumed
    stage    the merge itself

Nothing here knows how raw windows were computed.
"""
