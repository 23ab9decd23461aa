"""The judge: JSON Schema and CEL that tenants wrote, evaluated in a child process.

Belongs here: the child, the pipe to it, and what decides whose turn it is. Does not belong here:
what a verdict means for an object. Both libraries live here alone, and only the child imports
them: `python -m soulbox.judge`. Nothing here imports more of SoulBox than the model, so that the
child starts in a moment and stays small.

    Judge (judge.py)  what callers ask; verdicts that are remembered
    Lane  (lane.py)   one child and the asks that wait for it, owner by owner (fair.py)
    Child (child.py)  the process: started, asked, and read for what ended it
    ----------------- the pipe: frames.py
    main  (serve.py)  inside of the process: limits, the timer, one ask after the other
                      schemas.py and words.py: JSON Schema; expressions.py: CEL
"""
