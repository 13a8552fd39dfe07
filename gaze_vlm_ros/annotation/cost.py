"""What a description will cost, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gaze_vlm_ros.annotation.clips import Clip, clip_jpegs
from gaze_vlm_ros.annotation.describe_settings import DescribeSettings
from gaze_vlm_ros.session.session import Session


@dataclass(frozen=True)
class CostEstimate:
    """Calls, images and tokens of a run."""

    clips: int
    answered: int  # clips that the journal has an answer to
    images: int  # of the remaining calls
    upload_mb: float  # of the remaining calls, estimated from the first one's images
    prompt_characters: int
    max_tokens: int

    def __str__(self) -> str:
        calls = self.clips - self.answered
        known = f" ({self.answered} of {self.clips} are answered already)" if self.answered else ""
        return (
            f"{calls} calls{known} with {self.images} images, about {self.upload_mb:.1f} MB; each a prompt of "
            f"{self.prompt_characters} characters and at most {self.max_tokens} tokens of answer, "
            f"{calls * self.max_tokens} in all"
        )


def estimate_cost(
    session: Session, clips: Sequence[Clip], answered: set[int], settings: DescribeSettings
) -> CostEstimate:
    """Return the cost of all clips whose number is not in `answered`."""
    remaining = [clip for number, clip in enumerate(clips) if number not in answered]
    images = sum(len(clip.frames) for clip in remaining)
    jpegs = next((found for clip in remaining if (found := clip_jpegs(session, clip, settings))), [b""])
    size_b = sum(map(len, jpegs)) / len(jpegs) * 4 / 3  # base64
    return CostEstimate(
        len(clips), len(answered), images, images * size_b / 1e6, len(settings.question), settings.max_tokens
    )
