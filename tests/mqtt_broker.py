"""A real MQTT broker, and what is published there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml


@pytest.fixture(name="broker", params=["amqtt", "mosquitto"])
def mqtt_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """A real MQTT broker, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    (tmp_path / "broker.yaml").write_text(yaml.safe_dump(config))
    arguments = [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(tmp_path / "broker.yaml")]
    if request.param == "mosquitto":
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.skip("mosquitto is not installed")
        arguments = [program, "-p", str(port)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield port
    process.kill()
    process.wait()


@contextmanager
def hearing(port: int) -> Iterator[dict[str, str]]:
    """Give the last text of every topic while the block runs."""
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    heard: dict[str, str] = {}
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: heard.update(
        {message.topic: message.payload.decode()}
    )
    client.connect("127.0.0.1", port)
    client.subscribe("#")
    client.loop_start()
    yield heard
    client.loop_stop()


def wait_for(heard: Mapping[str, str], num_topics: int) -> None:
    """Wait until so many topics were heard of."""
    end = time.monotonic() + 10
    while len(heard) < num_topics and time.monotonic() < end:
        time.sleep(0.05)
