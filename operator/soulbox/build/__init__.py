"""Manifests and rows as plain values, built from specs. Pure: standard library and `model`."""
