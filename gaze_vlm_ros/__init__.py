"""Gaze-regularized vision-language models for ROS 2: record, train, predict.

The public names are described in `gaze_vlm_ros.api`; each is loaded on first use.
"""

from typing import TYPE_CHECKING

from gaze_vlm_ros.api import __all__ as __all__

if TYPE_CHECKING:
    from gaze_vlm_ros.api import *  # noqa: F403  # __all__ of api is the list
else:
    from gaze_vlm_ros.api import __dir__, __getattr__  # noqa: F401  # read by the interpreter (PEP 562)

__version__ = "0.1.0"
