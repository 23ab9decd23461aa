"""Fixtures by concern; each module says what it needs."""

from hypothesis import HealthCheck, settings

pytest_plugins = (
    "tests.support.fix_db",
    "tests.support.fix_kube",
    "tests.support.fix_operator",
    "tests.support.fix_runner",
    "tests.support.fix_volume",
)

# No timed asserts: a busy machine is no finding.
settings.register_profile("soulbox", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("soulbox")
