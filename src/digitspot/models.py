"""Models by name: those that come with digitspot, and those that the user added."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO

from digitspot.errors import CheckpointError, ConfigError
from digitspot.files import cache_folder, writing_whole
from digitspot.model_file import read_onnx

DEFAULT = "general"
BUNDLED = Path(__file__).with_name("bundled")
CHUNK_BYTES = 1 << 20
MAX_BYTES = 1 << 30
"""A download that is larger is no model of ours."""
SECONDS_WITHOUT_DATA = 30

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """A model that can be loaded by its name.

    Attributes:
        name: What `Reader.load` and `--model` take.
        path: The file, an exported model.
        about: What it reads.
        terms: What it may be used for.
        scores: Figures with their data; empty where the user added it.
        warning: Said whenever it is loaded; "" is nothing.
    """

    name: str
    path: Path
    about: str = "added by you"
    terms: str = "those of whoever made it"
    scores: str = ""
    warning: str = ""


def known_models() -> list[KnownModel]:
    """Return the models that can be loaded by name: the bundled ones, then those that were added.

    A bundled name is never another file's.
    """
    cards = json.loads((BUNDLED / "models.json").read_text(encoding="utf-8"))
    bundled = [KnownModel(name=name, path=BUNDLED / f"{name}.onnx", **card) for name, card in cards.items()]
    added = sorted(path for path in added_folder().glob("*.onnx") if path.stem not in cards)
    return [*bundled, *(KnownModel(name=path.stem, path=path) for path in added)]


def added_folder() -> Path:
    """Return the folder of the models that the user added."""
    return cache_folder() / "models"


def find_model(model: str | Path | None) -> Path:
    """Return the file or folder of a model.

    Args:
        model: A path, or a name of `known_models`; None is `DEFAULT`. A name wins over a file of that name:
            write "./svhn" for the file.

    Raises:
        CheckpointError: It is neither a known name nor a path that exists.
    """
    text = DEFAULT if model is None else str(model)
    if "/" in text or "\\" in text or text.endswith((".onnx", ".pt")):
        return Path(text)
    known = {each.name: each for each in known_models()}
    if text in known:
        if known[text].warning:
            logging.getLogger("digitspot").warning("%s: %s", text, known[text].warning)
        return known[text].path
    if Path(text).exists():
        return Path(text)
    raise CheckpointError(
        f"no model {text!r}", hint=f"Give a path, or one of these names: {', '.join(sorted(known))}."
    )


def add_model(
    source: str, sha256: str, name: str | None = None, progress: Progress = lambda done, total: None
) -> KnownModel:
    """Copy a model to where it is found by its name.

    Args:
        source: An exported model, a folder that holds it, or its http(s) address.
        sha256: Of the file, 64 hexadecimal digits.
        name: To load it by; None is the file's name.
        progress: Called with the bytes done and their total, 0 where it is not known.

    Raises:
        ConfigError: The name or the checksum cannot be used.
        CheckpointError: There is no such file, its checksum is another one, or it is no model.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ConfigError(f"--sha256 {sha256!r} is not 64 hexadecimal digits")
    path = None if _is_address(source) else _file_with(Path(source), sha256.lower())
    name = name or (path.stem if path else Path(source.split("?")[0]).stem)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) or name.endswith((".onnx", ".pt")):
        raise ConfigError(f"{name!r} is no name for a model", hint="Use letters, digits, '.', '_' and '-'.")
    if any(each.name == name and each.path.parent == BUNDLED for each in known_models()):
        raise ConfigError(f"{name!r} is a model of digitspot's own", hint="Give another --name.")
    target = added_folder() / f"{name}.onnx"
    with writing_whole(target, "wb") as file:
        if path:
            with open(path, "rb") as original:
                shutil.copyfileobj(original, file)
        else:
            _download(source, file, sha256.lower(), progress)
        file.flush()
        read_onnx(Path(file.name))
    return KnownModel(name=name, path=target)


def _is_address(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _file_with(source: Path, sha256: str) -> Path:
    """Return the file of a checksum: the source, or one in the folder that it is."""
    candidates = sorted(source.glob("*.onnx")) if source.is_dir() else [source]
    digests: dict[Path, str] = {}
    try:
        for path in candidates:
            with open(path, "rb") as file:
                digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{source} cannot be read: {error.strerror}") from error
    for path, digest in digests.items():
        if digest == sha256:
            return path
    found = f"its SHA-256 is {digests[source]}" if source in digests else f"none of {len(digests)} models"
    raise CheckpointError(f"{source} does not have the SHA-256 {sha256}: {found}")


def _download(address: str, file: IO[bytes], sha256: str, progress: Progress) -> None:
    """Write what an address sends into a file, and compare its checksum."""
    digest, done = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(address, timeout=SECONDS_WITHOUT_DATA) as response:
            total = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress(done, total)
                if done > MAX_BYTES:
                    raise CheckpointError(f"{address} sends more than {MAX_BYTES >> 20} MiB")
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        raise CheckpointError(f"{address} cannot be read: {getattr(error, 'reason', error)}") from error
    if digest.hexdigest() != sha256:
        raise CheckpointError(
            f"{address} does not have the SHA-256 {sha256}: it is {digest.hexdigest()} of {done:,} bytes"
        )
