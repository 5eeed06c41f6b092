"""Toprope trains a coding agent where it has no successful attempt yet."""

__version__ = "0.1.0"
