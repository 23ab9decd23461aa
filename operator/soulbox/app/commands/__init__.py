"""Commands for people, one module a group; `app.cli` registers them.

They speak to the API server with the person's own kubeconfig and rights. Heavy imports stand
inside functions: `soulbox --help` and completions must answer at once.
"""
