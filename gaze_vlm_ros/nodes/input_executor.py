"""An executor whose node survives the messages, requests and responses that it cannot take."""

from __future__ import annotations

from typing import Any

from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.service import Service
from rclpy.subscription import Subscription

from gaze_vlm_ros.nodes.barrier import Barrier


class InputExecutor(SingleThreadedExecutor):
    """Spins one node; `barrier` refuses what foreign input raises. Errors of timers and events end the spin."""

    def __init__(self, barrier: Barrier, context: Context | None = None) -> None:
        super().__init__(context=context)
        self._barrier = barrier
        self._entity: Any = None  # whose callback runs

    def wait_for_ready_callbacks(self, *arguments: Any, **options: Any) -> Any:
        """Return the next callback, as rclpy does."""
        self._entity = None
        handler, self._entity, node = super().wait_for_ready_callbacks(*arguments, **options)
        return handler, self._entity, node

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Run one callback, or refuse its input."""
        try:
            super().spin_once(timeout_sec)
        except ExternalShutdownException:
            raise
        except Exception as error:
            entity = self._entity
            # A signal may shut the context down at any moment; whatever rclpy is doing then fails.
            if not isinstance(entity, (Subscription, Service, Client)) or not self._context.ok():
                raise
            self._listen_again(entity)
            self._barrier.refuse(_name(entity), error)

    def _listen_again(self, entity: Any) -> None:
        """Undo what rclpy forgets where taking a message fails: it would never wait for that entity again."""
        if entity._executor_event:
            entity._executor_event = False
            entity.callback_group.ending_execution(entity)


def _name(entity: Any) -> str:
    return str(entity.topic_name if isinstance(entity, Subscription) else entity.srv_name)
