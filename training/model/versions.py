"""Versions of the libraries that results depend on."""

from __future__ import annotations

import importlib.metadata
import platform

_LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "accelerate", "numpy", "opencv-python-headless", "av")


def library_versions() -> dict[str, str]:
    """Return the version of Python and of each library that is installed, by name, to keep beside results."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
