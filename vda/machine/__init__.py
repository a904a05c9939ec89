"""What this machine has to compute on.

    devices   what GPUs there are and how they are; the CPU as a device
    untested  Apple's and AMD's, which no driver of NVIDIA's lists
    choice    which of them ``--devices`` means
    host      memory and disk, as far as this process may use them
    locks     of open files, which end with the process that has them
    packages  whether what a setting needs is installed
    shortage  what counts as "out of memory", whichever library says it

Nothing here knows what is computed.
"""
