"""Where watched values go: lines of JSON, CSV, a webhook, MQTT with Home Assistant's discovery."""

from __future__ import annotations

import csv
import io
import json
import os
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from digitspot.errors import ConfigError, DigitspotError

Sink = Callable[[dict[str, Any]], None]
"""Publishes a record; raises `OSError` where that failed."""
TIMEOUT_SECONDS = 10
COLUMNS = ("id", "first", "last", "frames", "at", "value", "probability", "decision", "reason")


def to_stdout(record: dict[str, Any]) -> None:
    """Print a record as one line of JSON.

    Raises:
        DigitspotError: Nobody reads them any more.
    """
    try:
        print(json.dumps(record), flush=True)
    except BrokenPipeError as error:
        raise DigitspotError("nobody reads the values that are printed") from error


def to_csv(path: Path) -> Sink:
    """Return a sink that adds rows to a CSV file; a record that is there already is not added again.

    Raises:
        ConfigError: The file has other columns, or cannot be written.
    """
    known: set[tuple[str, ...]] = set()
    try:
        with open(path, "a+", encoding="utf-8", newline="") as file:
            file.seek(0)
            rows = list(csv.reader(file))
            if not rows:
                csv.writer(file).writerow(COLUMNS)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"--csv {path} cannot be used: {error}") from error
    if rows and tuple(rows[0]) != COLUMNS:
        raise ConfigError(f"--csv {path} has other columns than {','.join(COLUMNS)}")
    known = {tuple(row) for row in rows}

    def publish(record: dict[str, Any]) -> None:
        row = tuple("" if record[name] is None else str(record[name]) for name in COLUMNS)
        if row in known:
            return
        _append(row, path)
        known.add(row)

    return publish


def _append(row: tuple[str, ...], path: Path) -> None:
    """Add a row on a line of its own, whole or not at all."""
    text = io.StringIO(newline="")
    csv.writer(text).writerow(row)
    with open(path, "ab+") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        is_cut = file.read() not in (b"", b"\n")  # by a full disk, a power failure or an editor
        try:
            file.write((b"\n" if is_cut else b"") + text.getvalue().encode("utf-8"))
            file.flush()
        except OSError:
            with suppress(OSError):
                file.truncate(end)
            raise


def to_webhook(address: str) -> Sink:
    """Return a sink that POSTs records as JSON.

    Raises:
        ConfigError: The address is not http or https, or has letters that an address cannot have.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good or not (address.isascii() and address.isprintable()) or " " in address:
        raise ConfigError(
            f"--webhook {address!r} is no address of http:// or https://",
            hint="Letters outside of ASCII are written as %C3%A4.",
        )

    def publish(record: dict[str, Any]) -> None:
        body, headers = json.dumps(record).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(address, body, headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
                pass
        except HTTPException as error:
            raise OSError(f"{address}: {error}") from error

    return publish


def to_mqtt(
    broker: str,
    name: str,
    user: str | None = None,
    password: str | None = None,
    *,
    device_class: str | None = None,
    unit: str | None = None,
) -> Sink:
    """Return a sink that publishes values to an MQTT broker, retained, and tells Home Assistant of them.

    The value goes to digitspot/NAME/value, the record to digitspot/NAME/record. Home Assistant finds the
    sensor by homeassistant/sensor/digitspot_NAME/config.

    Args:
        broker: host or host:port.
        name: Of the sensor: letters, digits, "_" and "-".
        user: Of the broker.
        password: Likewise.
        device_class: What Home Assistant takes the value for, such as "water".
        unit: Of the value; a device class allows some only, such as "m³" or "L".

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
    port = port or "1883"
    is_plain = name.replace("_", "").replace("-", "").isalnum()
    if not host or not port.isdecimal() or not 0 < int(port) < 65536 or not is_plain:
        raise ConfigError(f"--mqtt {broker!r} with name {name!r}: give HOST or HOST:PORT, and a plain name")
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"digitspot-{name}")
    if user is not None:
        client.username_pw_set(user, password)
    topic = f"digitspot/{name}"
    client.will_set(f"{topic}/available", "offline", qos=1, retain=True)
    discovery: dict[str, Any] = {
        "name": name,
        "unique_id": f"digitspot_{name}",
        "state_topic": f"{topic}/value",
        "json_attributes_topic": f"{topic}/record",
        "availability_topic": f"{topic}/available",
        "state_class": "total_increasing",
        "device": {"identifiers": ["digitspot"], "name": "digitspot"},
    }
    kind = {"device_class": device_class, "unit_of_measurement": unit}
    discovery.update({key: text for key, text in kind.items() if text is not None})

    def send(where: str, text: str) -> None:
        sent = client.publish(where, text, qos=1, retain=True)
        try:
            sent.wait_for_publish(TIMEOUT_SECONDS)
        except (RuntimeError, ValueError) as error:
            raise OSError(f"{broker}: {error}") from error
        if not sent.is_published():
            raise OSError(f"{broker} does not answer")

    def greet(*_: Any) -> None:
        """After every connection, since a broker may have forgotten, or told all that the sensor is gone."""
        client.publish(f"{topic}/available", "online", qos=1, retain=True)

    client.on_connect = greet
    client.connect(host, int(port))
    client.loop_start()
    send(f"homeassistant/sensor/digitspot_{name}/config", json.dumps(discovery))

    def publish(record: dict[str, Any]) -> None:
        if record["value"] is not None:
            send(f"{topic}/value", str(record["value"]))
        send(f"{topic}/record", json.dumps(record))

    return publish
