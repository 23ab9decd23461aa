"""PostgreSQL: the pool, the migrations runner, and one class an aggregate.

Belongs here: every statement (loaded from db/queries), every use of psycopg, translation
of its errors to ours, rows to model types and back. Does not belong here: what a row
means (build/rows, pure/metering), when it is written (mirror).
"""
