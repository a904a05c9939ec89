"""The stage that turns raw windows into depth images.

    settings   what is asked of a merge, and what came of it
    target     what outputs are made of: a frame in the making, where it goes, how it is to look
    outputs    every format that merged depth is written in, and videos to be looked at
    meaning    what the files of a merge mean, finished or not
    workplace  where new files are made beside old ones, and how they take their place
    request    what a merge still has to make
    looks      how a film is shown: one range for all of it
    frames     frames made by a pool, written in order, resumed
    writing    the outputs of one depth, and its record
    stage      the merge itself
    fits       what the first part of a merge in parts leaves for the others, and what is left to be made
    parts      the same merge by several processes or machines: fits, ranges of frames, the end

Nothing here knows how raw windows were computed.
"""
