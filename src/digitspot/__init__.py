"""Find the digits in a photograph and read the number."""

__version__ = "0.1.0"
