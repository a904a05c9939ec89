"""Image files: which of them make a sequence, in what order, and what they show.

    numbering  which frames files are of, by the numbers in their names
    naming     the images of a folder, a pattern or a list, with their numbers
    pixels     an image file to RGB, upright
    exr        OpenEXR: linear light, and how it is shown

Nothing here knows of rates or frames: a sequence becomes a video in the room ``video``.
"""
