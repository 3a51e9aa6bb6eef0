"""Modules whose packages are an extra that `dev` does not bring are not searched for examples."""

from importlib.util import find_spec

BULK = [f"src/digitspot/{name}.py" for name in ("bulk", "bulk_rows", "bulk_sources")]
collect_ignore = [] if find_spec("ray") else BULK
