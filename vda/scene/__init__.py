"""One video's work directory: all state on disk.

    windows     slots, anchors, blend weights: arithmetic only
    selection   which of a video's frames are used
    chunks      shots, windows, chunks: the plan
    planfile    the plan as a file
    picturechoice  which part of the pictures is computed
    meant       which scene somebody means who gives a film or a folder
    scene       every path and every record
    runstate    the files of a run: orders, heartbeats, attempts
    events      what happened, a line each: written by workers, read by reports
    status      how far the work is, from files alone
    rawwindows  raw windows on disk: the checkpoint
    windowstore  a scene's raw windows, each held against who it should be

Nothing here decodes, computes or merges.
"""
