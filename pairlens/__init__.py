"""What people import of PairLens. Each name is loaded when it is first used: importing this loads nothing."""
