import copyreg
import pickle

class Account:
    def __init__(self, owner):
        self.owner, self.cache = owner, {"x": 1}

    def __getstate__(self):
        return {"owner": self.owner}

    def __setstate__(self, state):
        self.__dict__ = state | {"cache": {}}

original = Account("ann")
for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    copy = pickle.loads(pickle.dumps(original, protocol))
    assert (copy.owner, copy.cache) == ("ann", {})
print(pickle.HIGHEST_PROTOCOL, copy.owner)
loop = []
loop.append(loop)
again = pickle.loads(pickle.dumps(loop))
print(again[0] is again, copyreg.__name__)

# expect:
# 5 ann
# True copyreg
