"""The data-set stage: thousands of videos, fake and real, brought to one size for training a classifier.

In goes a table of videos (``schema``), out come files of one size beside a table of what was made. What it stands
on comes with the ``fvc`` extra; a part of the package that is imported without it says so.
"""

from importlib.util import find_spec

from vda.errors import UsageError

_PACKAGES = ("polars", "pandera", "sklearn")

if missing := [name for name in _PACKAGES if find_spec(name) is None]:
    raise UsageError(
        f"The data-set stage needs packages that are not installed: {', '.join(missing)}.",
        "Install them: pip install 'vda-toolkit[fvc]'.",
    )
