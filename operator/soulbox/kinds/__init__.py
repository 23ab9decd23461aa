"""Each kind in a folder of its own: CRD, spec, decisions, reconciler, rows, and what follows from
its objects. The modules beside the folders list the kinds, and put them together.

Within a folder `decide` is pure and knows neither the CRD nor the reconciler; `crd` and `spec` are
the gate for what is stored; the reconciler, and what it works with, stand above both.
"""
