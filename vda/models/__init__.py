"""Which checkpoints there are, where they are, and whether a file is one of them.

    weights      the models, their licences, the places of their weights
    checkpoints  what is in a checkpoint file, without running it
    declared     the sizes that a checkpoint declares, before anything of it is unpacked
    hub          the Hugging Face hub and its cache

The weights of the built-in model lie in ``mini/``. Nothing here knows what a network computes.
"""
