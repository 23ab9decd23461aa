"""The API server: session, calls, the cache of last-seen objects, Events, the server's clock.

Does I/O. Knows Kubernetes, not SoulBox's rules: what to do is decided in `decide`.
"""
