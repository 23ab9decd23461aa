"""SoulBox: a Kubernetes operator that runs untrusted code and keeps the record.

Layers, imports pointing down only (held by import-linter)::

    app                             Kopf handlers, CLI, wiring
    reconcile | mirror              observe, decide, apply | rows to PostgreSQL
    kube | store | box | judge | telemetry
                                    API server, PostgreSQL, runner, tenants' schemas, metrics
    schema                          pydantic: CRDs, settings, wire messages
    decide | build                  pure: what to do | manifests as dicts
    model                           dataclasses, enums, errors, keys
"""
