"""What a running node subscribes, as DDS tells it: `python -m gaze_vlm_ros.demo.subscriptions NODE`.

Prints one line per topic: its name and its types.
"""

from __future__ import annotations

import sys
import time

from rclpy.node import Node, NodeNameNonExistentError

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.running import NodeFinished, run_node

# Discovery is over within 3 s; a subscription that is not known by then is none.
LOOK_S = 3.0


class NodeMissing(GazeVlmError):
    """No node of that name is on this domain."""


class Subscriptions(Node):
    """Looks at the graph for LOOK_S, prints, ends."""

    def __init__(self, name: str) -> None:
        super().__init__("subscriptions")
        self._name = name
        self._started = time.monotonic()
        self.create_timer(0.1, self._look)

    def _look(self) -> None:
        if time.monotonic() < self._started + LOOK_S:
            return
        try:
            found = self.get_subscriber_names_and_types_by_node(self._name, self.get_namespace())
        except NodeNameNonExistentError:
            raise NodeMissing(f"no node {self._name} is running on this domain; start it first") from None
        for topic, types in sorted(found):
            print(topic, *types, flush=True)
        raise NodeFinished()

    def close(self) -> int:
        return 0


def main() -> int:
    name = sys.argv[1]
    return run_node("subscriptions", lambda: Subscriptions(name))


if __name__ == "__main__":
    raise SystemExit(main())
