"""`digitspot serve`: a model behind HTTP."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

from digitspot.commands.options import parse
from digitspot.cores import num_cores
from digitspot.errors import ConfigError
from digitspot.progress import stderr
from digitspot.reader import Reader
from digitspot.serve.settings import ServeSettings


@dataclass(frozen=True, kw_only=True)
class ServeOptions(ServeSettings):
    """Read numbers over HTTP: POST images to /v1/read. At / is a page for people.

    digitspot serve
    digitspot serve --model svhn --host 0.0.0.0 --port 8080 --api-key-file key.txt
    """

    host: str = "127.0.0.1"
    """Where to listen; 0.0.0.0 is every network that this machine is in."""
    port: int = 8000
    """The port."""
    workers: int | None = None
    """Processes, each of which reads with one thread; none is one for every core."""
    api_key_file: Path | None = None
    """A file that holds the key which requests must send as X-API-Key; none lets everyone in."""


def run(arguments: list[str]) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that were taken are answered first."""
    options = parse(ServeOptions, "serve", arguments)
    from digitspot.serve.processes import check_address, run_processes

    workers = num_cores() if options.workers is None else options.workers
    if workers < 1:
        raise ConfigError(f"--workers {workers}: need 1 or more")
    check_address(options.host, options.port)
    Reader.load(options.model, threads=1)  # a model that cannot be used is told here, not by each worker
    limits = {each.name: getattr(options, each.name) for each in fields(ServeSettings)}
    ServeSettings(**{**limits, "api_key": _key_in(options.api_key_file)}).to_environment()
    stderr().print(
        f"{workers} processes listen at http://{options.host}:{options.port}; / is a page for people"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        run_processes(options.host, options.port, workers, options.max_seconds)


def _key_in(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        key = path.read_text(encoding="utf-8-sig").strip()  # Windows' editors begin files with a mark
    except OSError as error:
        raise ConfigError(f"--api-key-file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"--api-key-file {path} is not UTF-8") from error
    if not key:
        raise ConfigError(f"--api-key-file {path} is empty")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"--api-key-file {path} holds other characters than a header can have")
    return key
