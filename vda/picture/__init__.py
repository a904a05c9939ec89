"""One decoded picture on its way to what is shown: which way up, at which shape, in which colours.

    orientation  the display matrix: quarter turns and mirrors
    upright      a decoded picture to RGB at the video's size, upright
    framing      which part of it the network sees, and where that lies in the depth image

Nothing here opens a video or knows which frame a picture is.
"""
