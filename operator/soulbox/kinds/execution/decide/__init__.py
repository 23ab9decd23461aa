"""Decisions about Executions: pure."""
