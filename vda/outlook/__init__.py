"""What this machine can do, before anything is begun.

    abilities  what a device can run: by its memory, or measured
    kernels    whether a build of PyTorch has code for a card; also a program, for ``make setup``
    versions   of what is installed here, without loading it
    doctor     everything that a run needs, looked at and tried

Nothing here computes depth, or changes anything.
"""
