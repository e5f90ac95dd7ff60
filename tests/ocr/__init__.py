"""Reading text and codes."""
