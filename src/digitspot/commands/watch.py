"""`digitspot watch`: a folder, a film or a camera, one value after the other."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.answering import AnswerOptions, decimal_of
from digitspot.commands.model import ModelOptions
from digitspot.commands.options import parse
from digitspot.errors import ConfigError, DigitspotError
from digitspot.progress import stderr
from digitspot.sinks import Sink, to_csv, to_mqtt, to_stdout, to_webhook
from digitspot.watch import Watch, frames_of, require_source
from digitspot.watch_store import Store

MIN_PROBABILITY = 0.5
"""Less probable values are not answered, unless another probability or an accuracy is asked for."""


@dataclass(frozen=True, kw_only=True)
class WatchOptions(AnswerOptions):
    """Read a number again and again, as of a meter: each frame once, also after a restart.

    Every value is printed as a line of JSON when it is kept. --max-change and --may-fall are about the value
    before, which is kept, too; another --previous than last time replaces it.

    digitspot watch photos --length 6 --max-change 5 --once
    digitspot watch rtsp://camera/stream --every 60 --frames 5 --mqtt broker
    """

    source: Annotated[str, tyro.conf.Positional]
    """A folder of images, a film, or the address of a camera (rtsp, http)."""
    model: Path | None = None
    """A name of `digitspot models`, a run folder, a checkpoint or an exported .onnx; none is the default."""
    store: Path = Path("watch.db")
    """The SQLite file that keeps values and frames; another source needs another one."""
    every: float = 1.0
    """Seconds between two frames of a film or a camera, and between two looks at a folder."""
    frames: int = 1
    """Frames that are voted to one value."""
    once: bool = False
    """End when all files of a folder are read, instead of waiting for more."""
    csv: Path | None = None
    """Also add values to this CSV file."""
    webhook: str | None = None
    """Also POST each record to this address, as JSON."""
    mqtt: str | None = None
    """Also publish values to this MQTT broker, HOST or HOST:PORT, for Home Assistant, too. $MQTT_USER and
    $MQTT_PASSWORD are used."""
    name: str = "number"
    """Of the sensor in MQTT."""
    device_class: str | None = None
    """Of the sensor in Home Assistant, as water, gas or energy, so that its statistics have it."""
    unit: str | None = None
    """Of the value in Home Assistant, as m³ or kWh."""


def run(arguments: list[str]) -> None:
    """Watch until the source ends, or until Ctrl-C."""
    options = parse(WatchOptions, "watch", arguments, named=(AnswerOptions, ModelOptions))
    if options.every <= 0 or options.frames < 1:
        raise ConfigError(
            f"--every {options.every:g}, --frames {options.frames}: need more than 0, and 1 or more"
        )
    require_source(options.source)
    change = decimal_of("max-change", options.max_change)
    source = options.source if "://" in options.source else str(Path(options.source).resolve())
    store = Store(options.store, source)
    # The rules about the value before change with each value.
    reader = replace(options, previous=None, max_change=None, may_fall=False).load(options.model)
    previous = decimal_of("previous", options.previous)
    if previous is not None:
        store.start_from(str(previous))
    is_chosen = options.abstain_below is not None or options.target_accuracy is not None
    follows = change is not None or previous is not None or options.may_fall
    watch = Watch(
        reader=reader,
        store=store,
        num_frames=options.frames,
        max_change=change,
        may_fall=options.may_fall if follows else None,
        min_probability=reader.abstain_below if is_chosen else MIN_PROBABILITY,
    )
    frames = frames_of(options.source, store, options.every, follow=not options.once)
    sinks = _sinks(options)
    num = watch.run(frames, sinks)
    if left := max(len(store.unpublished(name)) for name in sinks):
        raise DigitspotError(
            f"{left} values are kept in {options.store} and could not be published",
            hint="The same command publishes them.",
        )
    store.close()
    stderr().print(f"{num} values; {options.store} keeps all of them", markup=False)


def _sinks(options: WatchOptions) -> dict[str, Sink]:
    sinks: dict[str, Sink] = {"stdout": to_stdout}
    if options.csv:
        sinks[f"csv {options.csv.resolve()}"] = to_csv(options.csv)
    if options.webhook:
        sinks[f"webhook {options.webhook}"] = to_webhook(options.webhook)
    if options.mqtt:
        user, password = os.environ.get("MQTT_USER"), os.environ.get("MQTT_PASSWORD")
        try:
            sinks[f"mqtt {options.mqtt} {options.name}"] = to_mqtt(
                options.mqtt,
                options.name,
                user,
                password,
                device_class=options.device_class,
                unit=options.unit,
            )
        except OSError as error:
            raise ConfigError(f"--mqtt {options.mqtt} cannot be reached: {error}") from error
    return sinks
