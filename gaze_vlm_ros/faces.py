"""Public names of a package, each loaded from its module on first use (PEP 562).

For packages whose modules need libraries that not every user of the package has, or that take seconds to import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_face(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for the package `package`.

    modules: public names by the module that defines them, as a full dotted name.
    `__getattr__` raises AttributeError for any other name, as Python does.
    """
    module_of = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module_of[name]), name)

    return get, lambda: sorted(module_of)
