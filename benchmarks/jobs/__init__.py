"""What jobs cost beside their comparison, and what kills cost them."""
