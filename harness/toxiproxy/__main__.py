"""`python -m harness.toxiproxy`."""

import sys

from harness.toxiproxy.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
