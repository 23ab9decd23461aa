"""Function: a program with versions and JSON Schemas, which Executions call."""
