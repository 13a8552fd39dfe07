"""transformers' processors, the same with and without torchvision.

Image processing has a PIL variant that needs no torchvision and gives other pixels than the torchvision variant. The
PIL variant is used everywhere, so that a model sees the same on the robot as in training. Video processing has no such
variant, and a processor with a video processor cannot be created without torchvision. Frames are passed as images
here, so the video part is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gaze_vlm_ros.errors import GazeVlmError


class BadPictureOption(GazeVlmError):
    """The image processor does not have this setting, or does not take this value."""


_VIDEO = "video_processor"


def images_only(processor_class: Any) -> Any:
    """Return the processor class without its video part, under the same name in saved files.

    The settings of the video part are kept and saved, so that plain transformers loads the folder where torchvision
    works.
    """

    whole = list(processor_class.get_attributes())
    kept = [name for name in whole if name != _VIDEO]

    class Attributes:
        """The parts of a processor: all while it is being built, so that each argument finds its place, then `kept`."""

        def __get__(self, processor: Any, _owner: Any = None) -> Any:
            built = processor is None or any(name in vars(processor) for name in kept)
            return lambda: list(kept if built else whole)

    class ImagesOnly(processor_class):
        video_settings: dict[str, Any] | None = None
        get_attributes = Attributes()

        @classmethod
        def from_args_and_dict(cls, args: Any, processor_dict: dict[str, Any], **options: Any) -> Any:
            given = dict(zip(kept, args, strict=True))
            try:
                return super().from_args_and_dict([given.get(name) for name in whole], processor_dict, **options)
            except AttributeError as error:
                if _VIDEO in whole and "'NoneType'" in str(error):  # MiniCPM-V asks it for settings
                    raise ImportError(
                        f"{processor_class.__name__} needs its video part, which needs torchvision ({error})"
                    ) from None
                raise

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument_name == _VIDEO and argument is None:
                return None
            return super().check_argument_for_proper_class(argument_name, argument)

        @classmethod
        def from_pretrained(cls, name: str, **options: Any) -> Any:
            processor = super().from_pretrained(name, **options)
            if _VIDEO in whole:
                processor.video_settings = _saved_video_settings(name, options.get("local_files_only", False))
            return processor

        @classmethod
        def get_processor_dict(cls, *arguments: Any, **options: Any) -> Any:
            settings, rest = super().get_processor_dict(*arguments, **options)
            return {key: value for key, value in settings.items() if key != _VIDEO}, rest

        def to_dict(self) -> dict[str, Any]:
            settings: dict[str, Any] = super().to_dict()
            settings = {key: value for key, value in settings.items() if key not in (_VIDEO, "video_settings")}
            return settings | ({_VIDEO: self.video_settings} if self.video_settings else {})

        def __reduce__(self) -> Any:  # pickle looks for classes in modules, and this one is in none
            return _unpickled, (processor_class, vars(self))

    ImagesOnly.__name__ = ImagesOnly.__qualname__ = processor_class.__name__
    ImagesOnly.__module__ = processor_class.__module__
    return ImagesOnly


def _unpickled(processor_class: Any, content: dict[str, Any]) -> Any:
    made = images_only(processor_class)
    processor = made.__new__(made)
    vars(processor).update(content)
    return processor


def set_picture_options(processor: Any, options: Mapping[str, Any]) -> None:
    """Change settings of the processor's image part, such as {"do_image_splitting": False} or {"size": {...}}.

    They decide how many visual tokens a frame has, and are saved with the processor. Raises BadPictureOption for a
    setting that it does not have, or a value that it does not take.
    """
    if not options:
        return
    known = processor.image_processor.to_dict()
    if unknown := sorted(set(options) - set(known)):
        plain = sorted(name for name in known if not name.startswith("_") and name != "image_processor_type")
        raise BadPictureOption(
            f"the model's image processor has no setting {', '.join(unknown)}; it has {', '.join(plain)}"
        )
    try:
        processor.image_processor = type(processor.image_processor).from_dict({**known, **options})
    except (TypeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadPictureOption(f"the model's image processor does not take {dict(options)}: {reason}") from None


def _saved_video_settings(name: str, local_only: bool) -> dict[str, Any] | None:
    from transformers.video_processing_utils import BaseVideoProcessor

    try:
        settings, _ = BaseVideoProcessor.get_video_processor_dict(name, local_files_only=local_only)
    except OSError:  # saved without
        return None
    return dict(settings)
