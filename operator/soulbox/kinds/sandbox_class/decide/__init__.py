"""Decisions about SandboxClasses: pure."""
