"""`python3 -m hack.cluster up|down|status`: see cli.py."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - it is run by whatever python3 the system has
    found = sys.version.split()[0]
    sys.exit(f"error: Python 3.11 or later is needed, python3 is {found}; put a newer one in PATH")

from hack.cluster.cli import main

sys.exit(main(sys.argv[1:]))
