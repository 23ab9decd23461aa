"""`soulbox doctor`: looks at an installation with a person's rights; pure.doctor judges.

Reads only, but for the access reviews (which store nothing) and the network probe, which is
asked for and cleans up after itself.
"""
