from graphlib import CycleError, TopologicalSorter

needs = {"deploy": {"test", "build"}, "test": {"build"}, "build": {"fetch"}, "fetch": set()}
print(list(TopologicalSorter(needs).static_order()))
try:
    list(TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())
except CycleError as error:
    print("cycle of", len(set(error.args[1])))

# expect:
# ['fetch', 'build', 'test', 'deploy']
# cycle of 2
