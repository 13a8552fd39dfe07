"""A program on the DDS domain of a node under test, which may send it anything."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from ros_processes import finish

DEADLINE_S = 200.0  # a busy machine


class Peer:
    """It spins only within `wait_for`."""

    def __init__(self, domain: int, name: str = "peer") -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node(name, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def wait_for(self, condition: Callable[[], Any], what: str, meanwhile: Callable[[], Any] = lambda: None) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline_s, f"{what}{self.last_heard()}"
            meanwhile()
            self.executor.spin_once(timeout_sec=0.02)

    def last_heard(self) -> str:
        """For the message where a wait fails."""
        return ""

    def call(self, kind: Any, name: str, request: Any) -> Any:
        client = self.node.create_client(kind, name)
        self.wait_for(client.service_is_ready, f"no service {name}")
        future = client.call_async(request)
        self.wait_for(future.done, f"no answer of {name}")
        return future.result()

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and output of a node after SIGINT, without a traceback."""
    process.send_signal(signal.SIGINT)
    code, output = finish(process)
    assert "Traceback" not in output, output
    return code, output
