"""From scored boxes to the number: slots, their order, the most probable subset, and how sure that is."""

from digitspot.reading.fit import fit_settings
from digitspot.reading.read import abstain, read_image, read_number
from digitspot.reading.rules import Rules
from digitspot.reading.settings import LookSettings, ReadingSettings
from digitspot.reading.votes import vote

__all__ = [
    "LookSettings",
    "ReadingSettings",
    "Rules",
    "abstain",
    "fit_settings",
    "read_image",
    "read_number",
    "vote",
]
