"""HTTP side of the simulated app: /api/status as JSON or websocket, and /calibration.bin."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from aiohttp import WSMsgType, web

from gaze_vlm_ros.neon.recording import NativeRecording
from gaze_vlm_ros.sim.neon_device.wire import Faults


class HttpApi:
    """The REST and websocket side of the simulated device."""

    def __init__(self, recording: NativeRecording, sensor_protocol: str, faults: Faults) -> None:
        self.recording = recording
        self.sensor_protocol = sensor_protocol
        self.faults = faults
        self.sensors: dict[str, bool] = {}  # name -> connected
        self.rtsp_port = 0
        self.time_echo_port = 0
        self.port = 0
        self._listeners: set[web.WebSocketResponse] = set()
        app = web.Application()
        app.add_routes([web.get("/api/status", self._status), web.get("/calibration.bin", self._calibration)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one. Raises OSError when the port is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection."""
        for listener in list(self._listeners):
            await listener.close()
        await self._runner.cleanup()

    async def set_connected(self, connected: bool, *names: str) -> None:
        """Mark the named sensors, or all, as (un)plugged and notify the websocket's listeners."""
        self.sensors |= dict.fromkeys(names or self.sensors, connected)
        for listener in list(self._listeners):
            address = _own_address(listener)
            for component in self.components(address):
                if component["model"] == "Sensor":
                    with contextlib.suppress(ConnectionError):
                        await listener.send_str(json.dumps(component))

    def components(self, address: str) -> list[dict[str, Any]]:
        """Return the app's status for a client that reaches us at `address`."""
        info = self.recording.info
        phone = {
            "battery_level": 100,
            "battery_state": "OK",
            "device_id": info.get("android_device_id", "simulated"),
            "device_name": f"{info.get('android_device_name', 'Neon Companion')} (simulated)",
            "ip": address,
            "memory": 100_000_000_000,
            "memory_state": "OK",
            "time_echo_port": self.time_echo_port,
        }
        hardware = {
            "version": "2.0",  # Neon; 1.0 is Pupil Invisible
            "glasses_serial": "-1",
            "world_camera_serial": "-1",
            "module_serial": info.get("module_serial_number", "unknown"),
            "frame_name": info.get("frame_name", "unknown"),
        }
        sensors = [
            {
                "sensor": name,
                "conn_type": "DIRECT",
                "connected": connected,
                "ip": address,
                "port": self.rtsp_port,
                "protocol": self.sensor_protocol,
                "params": f"camera={name}",
                "stream_error": False,
            }
            for name, connected in self.sensors.items()
        ]
        parts = [("Phone", phone), ("Hardware", hardware), *(("Sensor", sensor) for sensor in sensors)]
        if self.faults.unknown_component:
            parts.insert(0, ("Telescope", {"focal_length": 0.5}))
        return [{"model": model, "data": data} for model, data in parts]

    async def _status(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        components = self.components(request.transport.get_extra_info("sockname")[0])
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.json_response({"message": "Success", "result": components})
        listener = web.WebSocketResponse(heartbeat=10.0)
        await listener.prepare(request)
        self._listeners.add(listener)
        try:
            for component in components:
                await listener.send_str(json.dumps(component))
            async for message in listener:  # clients send nothing; this ends when they leave
                if message.type in (WSMsgType.ERROR, WSMsgType.CLOSE):
                    break
        finally:
            self._listeners.discard(listener)
        return listener

    async def _calibration(self, request: web.Request) -> web.Response:
        if self.recording.calibration is None:
            raise web.HTTPNotFound(text="this recording has no calibration.bin")
        return web.Response(body=self.recording.calibration, content_type="application/octet-stream")


def _own_address(listener: web.WebSocketResponse) -> str:
    address = listener.get_extra_info("sockname")
    return str(address[0]) if address else "127.0.0.1"
