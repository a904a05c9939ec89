"""Whether a package that a setting needs is installed: asked before anything is done for it."""

from importlib.util import find_spec

from vda.errors import UsageError


def require_package(name: str, purpose: str, extra: str) -> None:
    """Raise ``UsageError`` where the package ``name`` is not there; our ``extra`` brings it."""
    if find_spec(name) is None:
        raise UsageError(
            f"{purpose} needs the package {name}, which is not installed.",
            f"Install it: pip install 'vda-toolkit[{extra}]'.",
        )
