"""The networks: torchvision's Faster R-CNN in several sizes."""

from digitspot.detector.model import Detector
from digitspot.detector.presets import build_detector

__all__ = ["Detector", "build_detector"]
