"""Brings up, checks and ends the trial cluster behind `hack/up`, `hack/down` and `hack/status`.

Standard library only, so that `down` and `status` run with the system's Python, whatever became
of the virtual environment; `up` of the local cluster makes certificates with a package of that
environment (certificates.py). Everything it starts or changes on the machine is written down under
`config.RUN_DIR` at the moment it happens, and `down` undoes exactly that.

    cli ──> local | kind | existing cluster      which cluster
              └─> packages, build, images        made once, kept in the cache folder
              └─> network, pki, containerd,      the machine's side
                  controlplane, node             Kubernetes' own programs
        ──> postgres, operator                   the same for each kind of cluster
"""
