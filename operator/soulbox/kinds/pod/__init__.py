"""Pods: whose they are, and whom they concern."""
