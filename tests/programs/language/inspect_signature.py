import ast
import dis
import inspect

def f(a, b=2, *args, c, d: int = 4, **kwargs):
    return a + b

signature = inspect.signature(f)
print(signature, [p.kind.name for p in signature.parameters.values()])
bound = signature.bind(1, c=3)
bound.apply_defaults()
print(dict(bound.arguments), f.__code__.co_varnames[:2], callable(dis.dis))
tree = ast.parse("x = [i * 2 for i in range(3)]\nprint(x)")
print([type(node).__name__ for node in ast.walk(tree) if isinstance(node, (ast.Assign, ast.ListComp, ast.Call))])
print(ast.literal_eval("{'a': [1, (2, None)]}"), ast.unparse(ast.parse("a=1+2")))

# expect:
# (a, b=2, *args, c, d: int = 4, **kwargs) ['POSITIONAL_OR_KEYWORD', 'POSITIONAL_OR_KEYWORD', 'VAR_POSITIONAL', 'KEYWORD_ONLY', 'KEYWORD_ONLY', 'VAR_KEYWORD']
# {'a': 1, 'b': 2, 'args': (), 'c': 3, 'd': 4, 'kwargs': {}} ('a', 'b') True
# ['Assign', 'ListComp', 'Call', 'Call']
# {'a': [1, (2, None)]} a = 1 + 2
