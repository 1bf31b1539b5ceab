"""`python -m connector.simulator`: a simulated exchange in a process of its own; see `--help`."""

import sys

from connector.simulator.cli import main

if __name__ == "__main__":
    sys.exit(main())
