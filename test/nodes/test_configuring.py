from collections.abc import Iterator

import pytest
from ros_processes import shared_environment

pytest.importorskip("rclpy", reason="the node needs rclpy")


@pytest.fixture(autouse=True)
def ros(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import rclpy

    shared_environment(monkeypatch)
    rclpy.init()
    yield
    rclpy.try_shutdown()


def test_a_transition_that_the_state_does_not_have_fails_and_the_node_goes_on() -> None:
    """By the service, as of a lifecycle manager, and by the node itself; one that is known, and one that is not."""
    import rclpy
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.lifecycle import TransitionCallbackReturn

    from gaze_vlm_ros.nodes.configuring import ConfiguringNode

    node = ConfiguringNode("managed")
    manager = rclpy.create_node("manager")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.add_node(manager)
    client = manager.create_client(ChangeState, "managed/change_state")
    assert client.wait_for_service(200)

    def change(**transition: object) -> bool:
        future = client.call_async(ChangeState.Request(transition=Transition(**transition)))
        executor.spin_until_future_complete(future, 200)
        return bool(future.result().success)

    assert not change(id=Transition.TRANSITION_ACTIVATE)
    assert not change(id=99)
    assert not change(label="activate")
    assert node.trigger_activate() == TransitionCallbackReturn.ERROR
    assert change(id=Transition.TRANSITION_CONFIGURE)
    assert not change(id=Transition.TRANSITION_CONFIGURE)
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    node.destroy_node()
    manager.destroy_node()
