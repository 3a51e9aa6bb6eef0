"""The command line: subcommands to functions, errors to messages and exit codes.

stdout carries results, stderr is for people. Exit codes: 0 done, 1 other errors, 2 configuration,
3 data, 4 checkpoint, 5 export, 6 memory budget, 130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence

from rich.markup import escape

from digitspot.commands.help import FLAGS, overview
from digitspot.errors import INTERRUPTED, ConfigError, DataError, DigitspotError
from digitspot.files import printable
from digitspot.progress import stderr

COMMANDS = {
    "demo": "the whole way on generated images, in minutes, offline",
    "read": "print the number in an image",
    "models": "list the models that have a name, or add one",
    "recipes": "list the recipes that have a name, or print one",
    "train": "train a detector from a recipe",
    "predict": "images to pred.json and pred.csv",
    "evaluate": "score pred.json and pred.csv against labels",
    "serve": "read numbers over HTTP",
    "watch": "read a folder, a film or a camera again and again, as of a meter",
    "label": "correct what a model reads in a folder, in a browser",
    "improve": "a better model from corrected readings",
    "fuse": "join the boxes of several runs",
    "ablate": "train variants of a recipe with several seeds, and compare them",
    "tune": "search settings of a recipe within a budget",
    "calibrate": "fit the reader and its probabilities to a model or to COCO results",
    "report": "one page that shows how runs or an ablation went",
    "export": "a model to one ONNX file, read without torch",
    "data": "convert, check, look at and pack data sets",
}
TITLE = "Find the digits in an image and read the number."
EXAMPLES = (
    "digitspot read door.jpg",
    "digitspot train --data DATA",
    "digitspot predict svhn photos --output answers",
)
EXTRAS = {"tune": "tune", "serve": "serve", "label": "serve", "watch": "watch"}
"""The extra that a command needs, training's included; all others need training's at most."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    warnings.filterwarnings("ignore", module="PIL")  # images that Pillow warns of are refused by name
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if not arguments or arguments[0] in (*FLAGS, "help"):
        print(overview("digitspot", TITLE, COMMANDS, EXAMPLES))
        print("--debug shows tracebacks of errors, --version the version.")
        return 0
    if arguments[0] == "--version":
        print(importlib.import_module("digitspot").__version__)
        return 0
    try:
        _command(arguments[0])(arguments[1:])
    except DigitspotError as error:
        return _fail(error, debug)
    except ModuleNotFoundError as error:
        if debug or (error.name or "").split(".")[0] == "digitspot":
            raise
        return _fail(_missing(arguments[0], error), debug)
    except KeyboardInterrupt as error:
        stderr().print(escape(str(error) or "interrupted"))
        return INTERRUPTED
    except PermissionError as error:  # of a file or folder that was only looked for
        return _fail(DataError(f"{error.filename}: {error.strerror}"), debug)
    except BrokenPipeError:  # the reader of our output left
        sys.stderr.close()
        return 1
    except Exception as error:
        if debug:
            raise
        return _fail(_defect(error), debug)
    return 0


def _command(name: str) -> Callable[[list[str]], None]:
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        known = f"Commands: {', '.join(COMMANDS)}."
        raise ConfigError(
            f"no command {name!r}", hint=f"Did you mean {near[0]!r}? {known}" if near else known
        )
    module = importlib.import_module(f"digitspot.commands.{name}")
    command: Callable[[list[str]], None] = module.run
    return command


def _missing(command: str, error: ModuleNotFoundError) -> ConfigError:
    """Say what to install; commands import what they need when they run."""
    extra = EXTRAS.get(command, "train")
    hint = f"Install it: pip install 'digitspot[{extra}]'."
    return ConfigError(f"`digitspot {command}` needs {error.name}", hint=hint)


def _defect(error: Exception) -> DigitspotError:
    """Describe an error that nobody expected; the words of other libraries are not for users."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = f"{os.sep}digitspot{os.sep}" in last.filename
    what = f"{type(error).__name__}: {error}" if ours else f"{type(error).__name__} in {last.name}"
    return DigitspotError(what, hint="This is a defect of digitspot; --debug shows where.")


def _fail(error: DigitspotError, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    else:
        console = stderr()
        console.print(f"[bold red]error:[/] {_shown(str(error))}")
        if error.hint:
            console.print(f"  {_shown(error.hint)}")
    return error.exit_code


def _shown(text: str) -> str:
    """Make a message safe for the terminal; the indented lines of a list stay lines."""
    return escape("\n  ".join(map(printable, text.split("\n  "))))
