"""What people and programs see of PairLens: the page, the pytest plugin."""
