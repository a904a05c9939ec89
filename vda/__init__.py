"""Consistent depth for long videos on every GPU a person owns, and the depth into 3D."""

__version__ = "0.1.0"
