"""Trainings that are compared: ablations and searches on one runner."""
