"""Commands for people, one module per group; `app.cli` registers them.

They speak to the API server with the person's own kubeconfig and rights. Heavy imports are inside
functions: `soulbox --help` and completions must answer at once.
"""
