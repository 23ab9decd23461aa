from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence, Sized
from typing import Protocol, runtime_checkable

class Shape(ABC):
    @abstractmethod
    def area(self): ...

@runtime_checkable
class Closes(Protocol):
    def close(self): ...

class Square(Shape):
    def __init__(self, side):
        self.side = side
    def area(self):
        return self.side**2

class Bag:
    def __len__(self):
        return 2

try:
    Shape()
except TypeError as error:
    print("abstract" in str(error))
print(Square(3).area(), isinstance(open("/dev/null"), Closes), isinstance(5, Closes))
print(isinstance(Bag(), Sized), isinstance(Bag(), Iterable), issubclass(tuple, Sequence))

# expect:
# True
# 9 True False
# True False True
