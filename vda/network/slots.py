"""How many frames the network sees at once: what the window of a video and the network's own table agree on.

Nothing goes in; a number comes out, for those who plan windows as well as for the network. This file loads no
torch, so that planning needs none.
"""

from typing import Final

# What the published network was trained on; the table of places in its checkpoints has no more.
WINDOW_SLOTS: Final = 32
