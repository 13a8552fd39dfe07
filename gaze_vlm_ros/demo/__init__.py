"""`gaze-vlm demo`: the whole loop, run as a user would run its parts: nodes and scripts, each its own process."""
