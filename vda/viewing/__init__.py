"""Pages to look at a scene. ``vda view``: pictures, depth, values, tracks, and the cloud to turn around.

In goes a merged scene; out comes a page, served to one person on one machine, or kept in a file that holds some of
its frames. The cloud is shown by viser; pictures, values and tracks by a page of ours, for viser has no pictures
that tell what is under the pointer.

    settings  what is asked, and which wishes contradict each other
    film      pictures and codes of one frame after another, found on demand
    things    what tracks have in a frame
    space     lengths, cameras and poses, and the points of a frame
    cloud     the points as viser shows them
    door      viser's server, closed to all who do not have the token
    page      the page's words, and which of the files beside this belongs to it
    keeping   the page with some frames in one file
    stage     the door: served, or kept
    reports   the page to judge a scene by, made again only where it would show something else

``page.html``, ``page.css`` and ``page.js`` are what a browser is given.
"""
