"""What this machine can do, and what a command would do, before anything is begun.

    abilities   what a device can run: by its memory, or measured
    kernels     whether a build of PyTorch has code for a card; also a program, for ``make setup``
    versions    of what is installed here, without loading it
    doctor      everything that a run needs, looked at and tried
    rehearsed   a scene kept in memory, to which nothing is written
    sampled     a piece of a scene's depth, written and weighed
    tried       a piece of the computing, tried on this CPU
    forecast    what a start would do: data, and lines to read
    forecaster  the forecast made, from what was measured or recorded

Nothing here changes anything.
"""
