"""A torchvision that does not import takes most of transformers with it; here transformers goes on without."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any


def hide_broken_torchvision() -> None:
    """Where torchvision is installed and does not import, let transformers think that it is not installed.

    PyPI's torchvision is built for CUDA: beside a CPU build of torch its import fails. transformers takes for
    available what is installed, and no model of it can be imported then, by an error that names neither. Nothing here
    needs torchvision.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        logging.getLogger(__name__).warning(
            "torchvision is installed and does not import (%s); going on without it. Uninstall it, or install the "
            "build that belongs to this torch",
            " ".join(str(error).split()),
        )
        _hide_torchvision()


def _hide_torchvision() -> None:
    from transformers.utils import import_utils

    is_available = import_utils._is_package_available  # all its questions about packages end here

    def is_other_available(name: str, *arguments: Any, **options: Any) -> Any:
        return (False, "N/A") if name == "torchvision" else is_available(name, *arguments, **options)

    import_utils._is_package_available = is_other_available
    import_utils.is_torchvision_available.cache_clear()
    import_utils.is_torchvision_v2_available.cache_clear()
