"""Where watched values go: lines of JSON, CSV, a webhook, MQTT with Home Assistant's discovery."""

from __future__ import annotations

import csv
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from digitspot.errors import ConfigError

Sink = Callable[[dict[str, Any]], None]
"""Publishes a record; raises `OSError` where that failed."""
TIMEOUT_SECONDS = 10
COLUMNS = ("id", "first", "last", "frames", "at", "value", "probability", "decision", "reason")


def all_of(sinks: Sequence[Sink]) -> Sink:
    """Return a sink that publishes to each of some."""

    def publish(record: dict[str, Any]) -> None:
        for sink in sinks:
            sink(record)

    return publish


def to_stdout(record: dict[str, Any]) -> None:
    """Print a record as one line of JSON."""
    print(json.dumps(record), flush=True)
    sys.stdout.flush()


def to_csv(path: Path) -> Sink:
    """Return a sink that adds rows to a CSV file; an id that is there already is not added again."""
    known: set[str] = set()
    if path.exists():
        with open(path, encoding="utf-8", newline="") as file:
            known = {row["id"] for row in csv.DictReader(file)}

    def publish(record: dict[str, Any]) -> None:
        if str(record["id"]) in known:
            return
        with open(path, "a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(record)
        known.add(str(record["id"]))

    return publish


def to_webhook(address: str) -> Sink:
    """Return a sink that POSTs records as JSON.

    Raises:
        ConfigError: The address is not http or https.
    """
    if not address.lower().startswith(("http://", "https://")):
        raise ConfigError(f"--webhook {address!r}: need http:// or https://")

    def publish(record: dict[str, Any]) -> None:
        body, headers = json.dumps(record).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(address, body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
            pass

    return publish


def to_mqtt(broker: str, name: str, user: str | None = None, password: str | None = None) -> Sink:
    """Return a sink that publishes values to an MQTT broker, retained, and tells Home Assistant of them.

    The value goes to digitspot/NAME/value, the record to digitspot/NAME/record. Home Assistant finds the
    sensor by homeassistant/sensor/digitspot_NAME/config.

    Args:
        broker: host or host:port.
        name: Of the sensor: letters, digits, "_" and "-".
        user: Of the broker.
        password: Likewise.

    Raises:
        ConfigError: paho-mqtt is not installed, or the broker's name cannot be used.
        OSError: The broker cannot be reached.
    """
    try:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion
    except ModuleNotFoundError as error:
        raise ConfigError("--mqtt needs paho-mqtt", hint="pip install 'digitspot[watch]'") from error
    host, _, port = broker.partition(":")
    if not host or (port and not port.isdecimal()) or not name.replace("_", "").replace("-", "").isalnum():
        raise ConfigError(f"--mqtt {broker!r} with name {name!r}: give HOST or HOST:PORT, and a plain name")
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"digitspot-{name}")
    if user is not None:
        client.username_pw_set(user, password)
    topic = f"digitspot/{name}"
    client.will_set(f"{topic}/available", "offline", qos=1, retain=True)
    client.connect(host, int(port or 1883))
    client.loop_start()
    discovery = {
        "name": name,
        "unique_id": f"digitspot_{name}",
        "state_topic": f"{topic}/value",
        "json_attributes_topic": f"{topic}/record",
        "availability_topic": f"{topic}/available",
        "state_class": "total_increasing",
        "device": {"identifiers": ["digitspot"], "name": "digitspot"},
    }

    def send(where: str, text: str) -> None:
        sent = client.publish(where, text, qos=1, retain=True)
        try:
            sent.wait_for_publish(TIMEOUT_SECONDS)
        except (RuntimeError, ValueError) as error:
            raise OSError(f"{broker}: {error}") from error
        if not sent.is_published():
            raise OSError(f"{broker} does not answer")

    send(f"homeassistant/sensor/digitspot_{name}/config", json.dumps(discovery))
    send(f"{topic}/available", "online")

    def publish(record: dict[str, Any]) -> None:
        if record["value"] is not None:
            send(f"{topic}/value", str(record["value"]))
        send(f"{topic}/record", json.dumps(record))

    return publish
