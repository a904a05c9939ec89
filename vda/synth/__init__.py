"""Worlds made by arithmetic: a seed goes in, a video with exact depth, camera and tracks comes out.

    shapes     the four unit shapes: where a ray enters them
    things     parts (boxes, spheres, cylinders, cones) and what they are composed into
    textures   procedural patterns, baked for a world and looked up with mip levels
    furniture  things found indoors
    outdoors   things found outdoors, and people
    setting    a set on which things are put without standing in one another
    indoors    styles with walls and a ceiling
    open_air   styles under the sky
    cameras    how a camera moves
    worlds     the styles by name, and the sampling of one world
    raster     which part a pixel sees, and at what depth: the exact truth
    shading    light, shadow, haze and sky: the colours
    render     a world's frames, one after another
    sins       what a real camera does to a picture
    clip       a whole clip in memory, or written as files
    truth      boxes, contact points and 3D positions of the tracked things

World coordinates: x right, y *down*, z forward, metres; the ground is y = 0, so "up" is negative y.
"""
