"""Let transformers work without a torchvision that is installed but does not import."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any


def hide_broken_torchvision() -> None:
    """Make transformers treat torchvision as not installed, where it is installed but does not import.

    PyPI's torchvision is built for CUDA: beside a CPU build of torch its import fails. transformers considers every
    installed package available, so none of its vision models can be imported then, and its error names neither the
    model nor torchvision. Nothing here needs torchvision.

    Changes transformers for the whole process, once; call it before importing a model, processor or attention of
    transformers.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    from transformers.utils import import_utils

    if not import_utils.is_torchvision_available():
        return  # hidden already
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        logging.getLogger(__name__).warning(
            "torchvision is installed and does not import (%s); going on without it. Uninstall it, or install the "
            "build that belongs to this torch",
            " ".join(str(error).split()),
        )
        _hide_torchvision(import_utils)


def _hide_torchvision(import_utils: Any) -> None:
    is_available = import_utils._is_package_available  # transformers answers every question about a package with it

    def is_other_available(name: str, *arguments: Any, **options: Any) -> Any:
        return (False, "N/A") if name == "torchvision" else is_available(name, *arguments, **options)

    import_utils._is_package_available = is_other_available
    import_utils.is_torchvision_available.cache_clear()
    import_utils.is_torchvision_v2_available.cache_clear()
