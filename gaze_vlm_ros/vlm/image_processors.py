"""transformers' processors, the same with and without torchvision.

Image processing has a PIL variant that needs no torchvision and gives other pixels than the torchvision variant. The
PIL variant is used everywhere, so that a model sees the same on the robot as in training. Video processing has no such
variant, and a processor with a video processor cannot be created without torchvision. Frames are passed as images
here, so the video part is left out.
"""

from __future__ import annotations

from typing import Any


def images_only(processor_class: Any) -> Any:
    """Return the processor class without its video part, under the same name in saved files.

    The settings of the video part are kept and saved, so that plain transformers loads the folder where torchvision
    works.
    """

    class ImagesOnly(processor_class):
        video_settings: dict[str, Any] | None = None

        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in super().get_attributes() if name != "video_processor"]

        @classmethod
        def from_pretrained(cls, name: str, **options: Any) -> Any:
            processor = super().from_pretrained(name, **options)
            if "video_processor" in processor_class.get_attributes():
                processor.video_settings = _saved_video_settings(name, options.get("local_files_only", False))
            return processor

        @classmethod
        def get_processor_dict(cls, *arguments: Any, **options: Any) -> Any:
            settings, rest = super().get_processor_dict(*arguments, **options)
            return {key: value for key, value in settings.items() if key != "video_processor"}, rest

        def to_dict(self) -> dict[str, Any]:
            settings: dict[str, Any] = super().to_dict()
            return settings | ({"video_processor": self.video_settings} if self.video_settings else {})

    ImagesOnly.__name__ = ImagesOnly.__qualname__ = processor_class.__name__
    ImagesOnly.__module__ = processor_class.__module__
    return ImagesOnly


def _saved_video_settings(name: str, local_only: bool) -> dict[str, Any] | None:
    from transformers.video_processing_utils import BaseVideoProcessor

    try:
        settings, _ = BaseVideoProcessor.get_video_processor_dict(name, local_files_only=local_only)
    except OSError:  # saved without
        return None
    return dict(settings)
