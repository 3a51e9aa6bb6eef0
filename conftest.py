"""Modules whose packages are an extra that `dev` does not bring are not searched for examples."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("ray") else ["src/digitspot/bulk.py", "src/digitspot/bulk_sources.py"]
