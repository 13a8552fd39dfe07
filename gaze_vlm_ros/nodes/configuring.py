"""A lifecycle node that answers while it configures, and answers a transition that its state does not have."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from lifecycle_msgs.msg import Transition
from rclpy._rclpy_pybind11 import RCLError  # rclpy has no public name for it
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.task import Future

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.parameters import BadParameter
from gaze_vlm_ros.terminal.text import escaped


class ConfiguringNode(LifecycleNodeMixin, Node):
    """As rclpy's LifecycleNode, except that `on_configure` runs in a thread of its own.

    rclpy runs it in the executor's thread, where a node that loads for 10 s would answer no get_state and publish no
    diagnostics. Here the state is `configuring` meanwhile, and the request to configure is answered at the end.
    """

    def __init__(self, name: str) -> None:
        Node.__init__(self, name)
        # Reentrant: the request that waits for the end of its thread must hold up no other one.
        self.reentrant = ReentrantCallbackGroup()
        LifecycleNodeMixin.__init__(self, callback_group=self.reentrant)
        self._configuring: list[threading.Thread] = []
        self._failure: GazeVlmError | None = None  # why configuring failed
        self._starts_itself = False
        service: Any = next(service for service in self.services if service.srv_name.endswith("/change_state"))
        self._change_state = service.callback
        service.callback = self._on_change_state

    @property
    def is_configuring(self) -> bool:
        """Whether `on_configure` runs."""
        return any(thread.is_alive() for thread in self._configuring)

    def start_itself(self, clock: Clock) -> None:
        """Configure and activate as soon as the node spins; where it cannot, raise why there, which ends the node."""
        self._starts_itself = True
        self._starting = self.create_timer(
            0.0,
            cast(Any, self._start),  # rclpy awaits a coroutine, which its types do not say
            callback_group=self.reentrant,
            clock=clock,
        )

    async def _start(self) -> None:
        self._starting.cancel()
        success = TransitionCallbackReturn.SUCCESS
        if await self._in_thread(self.trigger_configure) != success or self.trigger_activate() != success:
            raise self._failure or BadParameter(f"the {self.get_name()} cannot start")

    def load(self) -> None:
        """Get all that `activate` needs. Raises GazeVlmError, and the transition fails."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load; a failure is logged unless the node, which started itself, ends with it."""
        try:
            self.load()
        except GazeVlmError as error:
            self._failure = error
            if not self._starts_itself:
                self.get_logger().error(escaped(str(error)))
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:
        """Stand in for the method of rclpy that its service and its triggers call.

        Jazzy's rclpy raises where the state does not have the transition, and a lifecycle manager gets no answer; here
        it fails, as with later versions of rclpy, and the state stays.
        """
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)  # type: ignore[misc]
        except RCLError:
            if self.context.ok():
                _, state = self._state_machine.current_state
                self.get_logger().error(f"there is no transition {transition_id} from the state {state}")
            return TransitionCallbackReturn.ERROR

    async def _on_change_state(self, request: Any, response: Any) -> Any:
        change = partial(self._change_state, request, response)
        wanted = request.transition
        if wanted.label == "configure" or (not wanted.label and wanted.id == Transition.TRANSITION_CONFIGURE):
            return await self._in_thread(change)
        return change()

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        executor = self.executor
        assert executor is not None
        done: Future = Future(executor=executor)

        def run() -> None:
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)
            executor.wake()

        # A daemon: loading cannot be interrupted, and must not keep a process that was asked to end.
        thread = threading.Thread(target=run, name="configure", daemon=True)
        self._configuring = [*(thread for thread in self._configuring if thread.is_alive()), thread]
        thread.start()
        return await done
