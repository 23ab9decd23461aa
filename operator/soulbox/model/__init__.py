"""Dataclasses, enums, errors and the names of labels and annotations.

Belongs here: what every layer speaks about. Does not belong here: anything that
does I/O, reads a clock or imports a third-party library.
"""
