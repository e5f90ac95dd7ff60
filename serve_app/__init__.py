"""PairLens: compares two images and says, with evidence, whether and where they differ."""

__version__ = "0.1.0"
