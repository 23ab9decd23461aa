"""`soulbox doctor`: looks at an installation with a person's rights; pure.doctor judges.

Reads only, except for the access reviews (which store nothing) and the network probe, which is
asked for and cleans up after itself.
"""
