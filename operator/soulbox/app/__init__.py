"""Wiring: settings, Kopf handlers that only queue keys, the work queue, health, the CLI.

The only package that imports kopf. Tasks that live as long as the operator are started here;
others are handed a function that starts theirs under supervision.
"""
