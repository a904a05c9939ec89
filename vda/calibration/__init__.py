"""From relative inverse depth to metres.

    sampling   depth at the records of a track file
    identity   which depth a calibration was made for
    points     scale and shift from the points of a reconstruction
    fit        scale and shift from known distances or from metric depth
    knownsize  scale and shift from how tall the tracked things are
    metres     joined depth in metres, by what says what a metre is
    choice     the calibration that was asked for, or kept in the scene

Nothing here knows what metres are wanted for.
"""
