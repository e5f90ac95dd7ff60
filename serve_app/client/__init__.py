"""A service over HTTP, as Python: requests and replies in `wire`, and two thin clients around them."""
