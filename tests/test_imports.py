"""Imports point one way, and a light import stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "digitspot"
MODULES = sorted(PACKAGE.rglob("*.py"))

RANKS: dict[str, int] = {
    name: rank
    for rank, names in enumerate(
        (
            "digitspot errors",
            "types",
            "cores files processes progress boxes colours config",
            "fusion images preprocess reading regions reads",
            "labels",
            "dataset",
            "answers sources",
            "convert synth bulk_sources bulk_rows",
            "model_file",
            "models",
            "ranks",
            "evaluation detector",
            "runtime",
            "training",
            "reader overlays plots",
            "preview statistics_plot predict calibrate bulk",
            "folds verdict",
            "finetune",
            "experiments",
            "sinks watch_store",
            "report demo serve watch",
            "commands",
            "cli",
            "__main__",
        )
    )
    for name in names.split()
}
"""Modules and packages, the bottom first: each imports only what stands below it, or its own package."""
PUBLIC: set[tuple[str, str]] = {("digitspot", name) for name in ("types", "reader", "reading", "training")}
"""The package names what is public; what is large it imports on first use, as `test_light_imports` sees."""


def name_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return "digitspot" if relative.parts == ("__init__.py",) else relative.parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Return the parts of the project that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module == "digitspot":
                found.update(f"digitspot.{alias.name}" for alias in node.names)
            else:
                found.add(node.module or "")
    parts = [name.split(".") for name in found if name.split(".")[0] == "digitspot"]
    return {part[1] if len(part) > 1 else "digitspot" for part in parts}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    name = name_of(path)
    assert name in RANKS, f"{name} is new: give it a rank"
    for other in imports_of(path):
        if other not in RANKS:  # a name of the package itself, such as __version__
            assert other.startswith("__"), f"{path}: {other} is new: give it a rank"
            continue
        allowed = other == name or RANKS[other] < RANKS[name] or (name, other) in PUBLIC
        assert allowed, f"{name} imports {other}, which stands above or beside it"


def test_only_tuning_needs_its_extra() -> None:
    def names(path: Path, word: str) -> bool:
        return any(
            word in (getattr(node, "module", None) or ",".join(alias.name for alias in node.names))
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
        )

    optuna = {path.relative_to(PACKAGE).as_posix() for path in MODULES if names(path, "optuna")}
    assert optuna == {f"experiments/{name}.py" for name in ("outcome", "study", "trial", "tune", "words")}
    tuning = ("outcome", "study", "trial", "tune", "words")
    outside = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if any(names(path, f"digitspot.experiments.{name}") for name in tuning)
    }
    assert outside - optuna == {"commands/tune.py"}


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent", "reason"),
    [
        ("import digitspot", {"torch", "torchvision", "PIL", "matplotlib", "tyro"}, "the package alone"),
        (
            "import digitspot.reader",
            {"torch", "torchvision", "matplotlib", "pycocotools"},
            "reading needs no torch",
        ),
        ("import digitspot.config", {"torch", "PIL"}, "recipes need no network"),
        ("import digitspot.runtime.onnx_runtime", {"torch", "torchvision", "tyro"}, "so does detection"),
        ("import digitspot.commands.read", {"torch", "matplotlib", "onnxruntime"}, "a cold start is short"),
        (
            "import digitspot.commands.data",
            {"torch", "scipy", "matplotlib"},
            "generated images need no training",
        ),
        ("import digitspot.predict", {"torch", "matplotlib", "pycocotools"}, "prediction neither"),
        ("import digitspot.runtime", {"torch"}, "the protocol stands alone"),
        ("import digitspot.preprocess", {"torch"}, "every runtime uses it"),
    ],
)
def test_light_imports(statement: str, absent: set[str], reason: str) -> None:
    loaded = loaded_by(statement)
    assert "digitspot" in loaded
    assert not absent & loaded, reason


def test_the_package_imports_within_its_share() -> None:
    """Computing time of its own and of what it loads: under 0.3 s, whatever else the machine does."""
    program = "import time; start = time.process_time(); import digitspot; print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.3
