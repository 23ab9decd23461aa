"""How long tests wait for what must come.

In one place, because it depends on the machine and on nothing else: a runner of CI may take ten
times as long as a desk. It costs time only where a test fails; pytest's own timeout
(pyproject.toml) is longer.
"""

PATIENCE_SECONDS = 240.0
KUBECTL_PATIENCE = f"--timeout={PATIENCE_SECONDS:.0f}s"
