"""Where bytes enter or leave: pydantic models of the CRDs, the settings and the runner's
messages, and converters to the dataclasses of `model`.

Belongs here: outside forms, their bounds, the CRD generator. Does not belong here:
decisions, and I/O other than reading the settings' own files.
"""
