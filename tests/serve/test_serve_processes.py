"""`digitspot serve` as a user runs it: processes, signals, a client over the network."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from command_line import wait_until_ready
from digitspot.synth.generate import make_image, subject_of


def png(index: int) -> bytes:
    held = io.BytesIO()
    Image.fromarray(make_image(0, "train", index, subject_of("train", "plates")).image).save(held, "PNG")
    return held.getvalue()


def _ask(address: str, image: bytes) -> int | str:
    """Return the status, or "refused" where the service takes no connection any more."""
    try:
        headers = {"content-type": "image/png"}
        return httpx.post(f"{address}/v1/read", content=image, headers=headers, timeout=30).status_code
    except httpx.ConnectError:
        return "refused"


@pytest.mark.timeout(120)
def test_a_killed_worker_is_replaced_and_sigterm_loses_nothing(
    served: tuple[subprocess.Popen[bytes], str],
) -> None:
    process, address = served
    image = png(0)
    assert _ask(address, image) == 200
    workers = [
        each for each in psutil.Process(process.pid).children() if "spawn_main" in " ".join(each.cmdline())
    ]
    assert len(workers) == 2
    workers[0].kill()
    end = time.monotonic() + 40
    while time.monotonic() < end:
        living = {each.pid for each in psutil.Process(process.pid).children() if each.status() != "zombie"}
        if len(living & {each.pid for each in workers}) == 1 and len(living) >= 3:
            break
        time.sleep(0.2)
    else:
        raise AssertionError("the killed worker was not replaced")
    wait_until_ready(address)
    scene = big_scene()
    with ThreadPoolExecutor(6) as clients:
        asked = [clients.submit(_ask, address, scene) for _ in range(6)]
        end = time.monotonic() + 30
        while _waiting(address) < 6 and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGTERM)
        assert [each.result() for each in asked] == [200] * 6
    assert process.wait(30) in (0, -signal.SIGTERM)
    assert _ask(address, image) == "refused"


def big_scene() -> bytes:
    """Return a photograph that takes a while to read."""
    held = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (1100, 1500, 3), np.uint8)
    Image.fromarray(noise).save(held, "PNG")
    return held.getvalue()


def _waiting(address: str) -> float:
    """Return how many images wait or are being read, in all processes."""
    told = httpx.get(f"{address}/metrics", timeout=10).text
    return sum(
        float(line.split()[-1]) for line in told.splitlines() if line.startswith("digitspot_waiting_images")
    )


def test_workers_end_with_a_killed_service(served: tuple[subprocess.Popen[bytes], str]) -> None:
    """A worker that is just starting ends when it has started."""
    workers = psutil.Process(served[0].pid).children(recursive=True)
    served[0].kill()
    assert len(workers) > 1
    assert not psutil.wait_procs(workers, timeout=30)[1]
