"""What one format alone needs, a file each. Knows no limits."""
