"""Labelled pairs, figures and thresholds."""
