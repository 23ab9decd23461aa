from typing import Any, Generic, Literal, NamedTuple, TypedDict, TypeVar, Union, get_args, get_type_hints

T = TypeVar("T")

class Stack(Generic[T]):
    def __init__(self):
        self.items: list[T] = []
    def push(self, item: T) -> None:
        self.items.append(item)
    def pop(self) -> T:
        return self.items.pop()

class Point(NamedTuple):
    x: int
    y: int = 0

class Movie(TypedDict, total=False):
    name: str

def f(a: int, b: "str | None" = None) -> list[int]: ...

stack = Stack[int]()
stack.push(1)
print(stack.pop(), Point(1), Movie(name="x"), get_type_hints(f), get_args(Literal["a", "b"]), get_args(Union[int, str]))

# expect:
# 1 Point(x=1, y=0) {'name': 'x'} {'a': <class 'int'>, 'b': str | None, 'return': list[int]} ('a', 'b') (<class 'int'>, <class 'str'>)
