"""Code in checkpoints is never run."""

from __future__ import annotations

# Without it transformers asks at the terminal whether to run the code that a config's `auto_map` names, and runs it.
NO_FOREIGN_CODE = {"trust_remote_code": False}
