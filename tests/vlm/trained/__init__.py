"""A small checkpoint that was trained on drawn pairs, and what it was trained with."""
