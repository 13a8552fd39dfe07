"""List the subscriptions of a running node: `python -m gaze_vlm_ros.nodes.subscriptions NODE TOPIC...`.

Waits for the node and for its subscription to each TOPIC, then prints one line per subscription: name and types.
"""

from __future__ import annotations

import argparse
import time

from rclpy.node import Node, NodeNameNonExistentError

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.running import NodeFinished, run_node

# Discovery takes 0.1 to 3 s on an idle machine, and many times that on a busy one.
WITHIN_S = 40.0
# A node's subscriptions become known at nearly the same time: a list that has not changed for so long is complete.
SETTLED_S = 2.0


class NodeMissing(GazeVlmError):
    """The domain has no node of that name, or the node lacks an expected subscription."""


class Subscriptions(Node):
    """Waits until the node `name` and its subscriptions to `topics` are known, prints all subscriptions, and ends."""

    def __init__(self, name: str, topics: list[str], within_s: float) -> None:
        super().__init__("subscriptions")
        self._name, self._within_s = name, within_s
        self._topics = {self.resolve_topic_name(topic) for topic in topics}
        self._started = self._changed = time.monotonic()
        self._found: dict[str, list[str]] | None = None  # None = the node is not known yet
        self.create_timer(0.1, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        try:
            found = dict(self.get_subscriber_names_and_types_by_node(self._name, self.get_namespace()))
        except NodeNameNonExistentError:
            found = None
        if found != self._found:
            self._found, self._changed = found, now
        if found is not None and self._topics <= set(found) and now - self._changed >= SETTLED_S:
            for topic, types in sorted(found.items()):
                print(topic, *types, flush=True)
            raise NodeFinished()
        if now - self._started < self._within_s:
            return
        if found is None:
            raise NodeMissing(
                f"no node {self._name} was found on this domain within {self._within_s:g} s; start it first"
            )
        missing = ", ".join(sorted(self._topics - set(found))) or "a list that stops changing"
        raise NodeMissing(
            f"node {self._name} subscribes to {', '.join(sorted(found)) or 'nothing'}, expected {missing} within "
            f"{self._within_s:g} s; set its topic parameters"
        )

    def close(self) -> int:
        """Return the exit code."""
        return 0


def main() -> int:
    """Run the node with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("node")
    parser.add_argument("topics", nargs="*", help="topics to wait for")
    parser.add_argument("--within", type=float, default=WITHIN_S, help="time to wait, s (default: %(default)g)")
    arguments = parser.parse_args()
    return run_node("subscriptions", lambda: Subscriptions(arguments.node, arguments.topics, arguments.within), args=[])


if __name__ == "__main__":
    raise SystemExit(main())
