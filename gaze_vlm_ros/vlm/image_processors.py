"""transformers' processors on a machine whose torchvision is missing or broken.

Image processing has a PIL variant that needs no torchvision; video processing has none, and a processor that wants a
video processor cannot be made without it. Frames go in as images here, so the video part is left out.
"""

from __future__ import annotations

import functools
from typing import Any

from transformers.utils import is_torchvision_available

from gaze_vlm_ros.errors import GazeVlmError


class BrokenTorchvision(GazeVlmError):
    """torchvision is installed, and cannot be imported."""


@functools.cache
def torchvision_works() -> bool:
    """Whether transformers can use torchvision. Raises BrokenTorchvision where it is installed and does not import.

    PyPI's torchvision is built for CUDA: beside a CPU build of torch its import fails, and with it most processors.
    """
    if not is_torchvision_available():
        return False
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as error:
        raise BrokenTorchvision(
            f"torchvision is installed and does not import ({error}); uninstall it (images then go through PIL), "
            "or install the build that belongs to this torch"
        ) from None
    return True


def images_only(processor_class: Any) -> Any:
    """The same processor, by the same name in its saved files, without its video part."""

    def get_attributes(_cls: Any) -> list[str]:
        return [name for name in processor_class.get_attributes() if name != "video_processor"]

    members = {"get_attributes": classmethod(get_attributes), "__module__": processor_class.__module__}
    return type(processor_class.__name__, (processor_class,), members)
