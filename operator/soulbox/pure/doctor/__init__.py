"""What an installation looks like, and what is wrong with it. Pure: seen in, findings out.

`soulbox doctor` looks (app/doctor) and hands each look to its judge here. A look that was
not possible is an `Unseen`: it is told as such, never as health.
"""
