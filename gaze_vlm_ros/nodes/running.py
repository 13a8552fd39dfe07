"""Start, run and stop a node: the same for every node of this package."""

from __future__ import annotations

import atexit
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from gaze_vlm_ros.errors import GazeVlmError, exit_code
from gaze_vlm_ros.nodes.barrier import Barrier
from gaze_vlm_ros.nodes.dds_transport import use_tested_transport
from gaze_vlm_ros.nodes.open_transports import network_of, network_text, network_warnings

if TYPE_CHECKING:
    from rclpy.node import Node


class NodeFinished(BaseException):
    """Raised inside a callback or timer to end the node cleanly, with `code` as its exit code.

    Like SystemExit it is no Exception: nothing that guards against foreign input catches it.
    """

    def __init__(self, code: int = 0) -> None:
        super().__init__(code)
        self.code = code


class ClosableNode(Protocol):
    """An rclpy Node with a `close` that joins its threads, closes its files and returns the exit code."""

    def close(self) -> int:
        """Release what the node holds; return the exit code."""

    def destroy_node(self) -> None:
        """Destroy the node, as rclpy does."""


def run_node(program: str, make_node: Callable[[], ClosableNode], args: list[str] | None = None) -> int:
    """Spin one node until SIGINT, SIGTERM or NodeFinished; close it; return the process's exit code.

    SIGINT interrupts a node that starts, as usual. From then on it lets the callback that runs, and `close`, come to
    their end, however often it is sent: a bag that is being closed gets its index and its metadata.yaml.
    A GazeVlmError, while starting or spinning, becomes one line on stderr and exit code 1. `close` runs in every case;
    after a signal the context is shut down by then, so it can print, and neither publish nor log.
    A node's `log`, where it has one, takes the lines that this function prints.
    What a message, request or response makes a callback raise is refused by a Barrier, the node's `barrier` where it
    has one, and the node goes on; only NodeFinished ends it.
    """

    def main() -> int:
        use_tested_transport()
        import rclpy
        from rclpy._rclpy_pybind11 import RCLError  # rclpy has no public name for it
        from rclpy.exceptions import ParameterException
        from rclpy.executors import ExternalShutdownException

        from gaze_vlm_ros.nodes.input_executor import InputExecutor
        from gaze_vlm_ros.nodes.ros_log import log_to_file

        try:
            import gaze_vlm_msgs  # noqa: F401  # the nodes' own message package, built apart from this one
        except ImportError as error:
            raise GazeVlmError(
                f"the message package gaze_vlm_msgs is not installed ({error}); build it with "
                "`colcon build --base-paths . gaze_vlm_msgs`, or `make setup` without a ROS installation"
            ) from None
        given = sys.argv if args is None else args
        interrupt = _Interrupt()
        try:
            rclpy.init(args=given)
        except RCLError as error:
            if "SECURITY" in str(error):
                raise GazeVlmError(f"ROS refuses to start without its enclave ({_one_line(error)})") from None
            raise GazeVlmError(
                f"invalid ROS arguments {' '.join(given[1:])!r} ({str(error).split(' Error:')[0]})"
            ) from None
        node = None
        code = 0

        def log(line: str) -> None:
            getattr(node, "log", partial(log_to_file, program))(line)

        def warn(text: str) -> None:
            log(f"{program}: warning: {text}")
            print(f"{program}: warning: {text}", file=sys.stderr, flush=True)

        barrier = Barrier(warn)
        try:
            try:
                node = make_node()
            except ParameterException as error:
                raise GazeVlmError(_bad_value_text(error)) from None
            except RCLError as error:  # also where ROS_SECURITY_ENABLE is set and the middleware has no security
                if not rclpy.ok():
                    raise ExternalShutdownException() from None
                raise GazeVlmError(f"ROS cannot make the node ({_one_line(error)})") from None
            _say_how_it_is_reached(cast("Node", node))
            barrier = getattr(node, "barrier", barrier)
            executor = InputExecutor(barrier)
            executor.add_node(cast("Node", node))
            interrupt.wait()  # rclpy's own handler shuts the context down, which ends the spin between two callbacks
            executor.spin()
        except (KeyboardInterrupt, ExternalShutdownException):
            pass  # a clean request to stop
        except NodeFinished as finished:
            code = finished.code
        except GazeVlmError as error:
            log(f"{program}: error: {error}")
            raise
        except Exception:
            # A signal may shut the context down at any moment; whatever rclpy is doing then fails.
            if rclpy.ok():
                raise
        finally:
            interrupt.wait()
            if node is not None:
                code = node.close() or code
                if refused := barrier.summary():
                    print(f"{program}: {refused}", file=sys.stderr, flush=True)
                node.destroy_node()
                # A lifecycle node keeps its state machine, and with it DDS and its shared memory, until it is freed.
                vars(node).pop("_state_machine", None)
            rclpy.try_shutdown()
        return code

    return exit_code(program, main)


@contextmanager
def until_shutdown(node: Node) -> Iterator[None]:
    """Drop what the block raises once the context is shut down; for threads other than the executor's.

    A signal shuts it down at any moment, and whatever rclpy is doing then fails.
    """
    try:
        yield
    except Exception:
        if node.context.ok():
            raise


class _Interrupt:
    """The handler of SIGINT: raises KeyboardInterrupt once, and nothing any more after `wait` was called.

    Set it before rclpy's handler, which calls it.
    """

    def __init__(self) -> None:
        self._raises = True
        signal.signal(signal.SIGINT, self)
        # The interpreter gives SIGINT its default back while it ends: a late one would take the process's exit code.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)

    def __call__(self, number: int, frame: Any) -> None:
        if self._raises:
            self._raises = False
            raise KeyboardInterrupt

    def wait(self) -> None:
        """Let what runs come to its end from now on."""
        self._raises = False


def _say_how_it_is_reached(node: Node) -> None:
    from rclpy.utilities import get_rmw_implementation_identifier

    network = network_of(get_rmw_implementation_identifier(), node.context.get_domain_id())
    node.get_logger().info(network_text(network))
    for warning in network_warnings(network):
        node.get_logger().warning(warning)


def _bad_value_text(error: Exception) -> str:
    """Return rclpy's exception about a parameter's value as one line that says what to do."""
    text = _one_line(error).rpartition(": ")[0]  # without the parameter's name, once more
    if "of type 'INTEGER', expecting type 'DOUBLE'" in text:
        return f"{text}; write it with a point, such as 10.0"
    return text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
