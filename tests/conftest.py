"""Fixtures by concern; each module says what it needs."""

pytest_plugins = (
    "tests.support.fix_db",
    "tests.support.fix_kube",
    "tests.support.fix_operator",
)
