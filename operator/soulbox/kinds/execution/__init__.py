"""Executions: their queues, and what their versions concern."""
