"""What the reconcilers of all kinds work with: writes, pods, runners that answer, samples.

Does I/O through `kube`, `box` and the mirror. What to do next is decided in `kinds/<kind>/decide`.
A pass reads the newest objects, never an event, and may run twice. Knows no kind of ours.
"""
