"""`python -m benchmarks.chaos`: every fault in turn."""

from benchmarks.chaos.faults import main

main()
