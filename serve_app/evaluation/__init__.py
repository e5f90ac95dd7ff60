"""Labelled pairs to thresholds: how right the answers are, and from where on it is a match. No HTTP, no Ray."""
