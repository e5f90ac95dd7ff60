"""HTTP: one file a group of routes, and what every request passes on its way to them."""
