"""One thread for every test: two would spin at each other's barriers on a busy machine."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
