"""All windows of a sequence fitted at once.

    links       what two windows say of each other's scale and shift
    windowfits  scale and shift of all windows, each link weighted by what it says

Arithmetic on samples: nothing here knows what a window or a frame is read from.
"""
