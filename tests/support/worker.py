"""Which of pytest-xdist's workers this is: network addresses are the machine's, not a test's."""

import os


def worker_number() -> int:
    """From 0; 0 where tests are not run side by side."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
