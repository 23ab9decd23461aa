"""Wiring: settings, Kopf handlers that only queue keys, the work queue, health, the CLI.

The only package that imports kopf, and the only one that starts tasks.
"""
