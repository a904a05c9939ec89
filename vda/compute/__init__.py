"""Frames to raw windows, on a device.

    ladder     the memory ladder: the same windows with less memory
    footprint  what the network needs of a device's memory
    traffic    what goes to a device and comes back, while it computes
    coding     a window's codes, made on the device
    engine     frames to raw windows: features kept, micro-batches
    pace       how long a model will take on this CPU
    precision  which dtype a device can be trusted with, and the proof
    openvino   the network by OpenVINO, part by part
    computer   a device with a scene's model on it, and the pictures it is fed
    chunk      a chunk to raw windows: resuming, memory, windows not to be trusted
    trial      a device tried in half precision, before a scene begins
    worker     takes orders in a process of its own, with a heartbeat

Nothing here knows who gives the orders, or what becomes of the windows.
"""
