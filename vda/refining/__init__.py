"""Depth whose edges follow those of the film's own frames.

    guided    the fast guided filter: one depth map and its frame in, a depth map out
    guides    a film's frames by their index, for many threads

Nothing here knows which depth is refined, nor whether it is.
"""
