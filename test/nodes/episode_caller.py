"""Calls the recorder's services: `python episode_caller.py CALLS`, a JSON list of calls; prints the answers as JSON.

A call is ["start", id, task], ["stop", keep], ["label", text] or ["sleep", seconds].
"""

import json
import sys
import time

import rclpy

from gaze_vlm_msgs.msg import ActionLabel
from gaze_vlm_msgs.srv import AddLabel, StartEpisode, StopEpisode


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("episode_caller")
    kinds = {"start": StartEpisode, "stop": StopEpisode, "label": AddLabel}
    names = {"start": "start_episode", "stop": "stop_episode", "label": "add_label"}
    clients = {kind: node.create_client(service, f"recorder/{names[kind]}") for kind, service in kinds.items()}
    for client in clients.values():
        if not client.wait_for_service(200.0):
            sys.exit("the recorder's services did not come")
    answers = []
    for kind, *arguments in json.loads(sys.argv[1]):
        if kind == "sleep":
            time.sleep(arguments[0])
            continue
        if kind == "start":
            request = StartEpisode.Request(episode_id=arguments[0], task=arguments[1])
        elif kind == "stop":
            request = StopEpisode.Request(keep=arguments[0])
        else:
            request = AddLabel.Request(label=ActionLabel(text=arguments[0]))
        future = clients[kind].call_async(request)
        rclpy.spin_until_future_complete(node, future, timeout_sec=200.0)
        answer = future.result()
        answers.append([answer.success, answer.message, getattr(answer, "episode_id", "")])
    print(json.dumps(answers))


main()
