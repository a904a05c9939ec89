"""One picture between decoder, screen and encoder: which way up, at which shape, whole, in which colours.

    signal        what the user says where a stream is wrong: --deinterlace, --color
    orientation   the display matrix: quarter turns and mirrors
    colours       which colours a video's numbers stand for
    dynamicrange  PQ and HLG to what a screen of standard range shows
    upright       a decoded picture to RGB at the video's size, upright
    fields        interlaced frames to whole pictures
    bars          black bars found in some frames of a film
    overlay       subtitles and logos: which pixels they cover, and pictures without them
    planes        RGB to the planes of video, exactly
    framing       which part of it the network sees, and where that lies in the depth image

Nothing here opens a video or knows which frame a picture is.
"""
