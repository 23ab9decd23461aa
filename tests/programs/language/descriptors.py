class Positive:
    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, instance, owner):
        return self if instance is None else getattr(instance, self.name)

    def __set__(self, instance, value):
        if value <= 0:
            raise ValueError(f"{self.name[1:]} must be positive")
        setattr(instance, self.name, value)

class Box:
    width, height = Positive(), Positive()

    def __init__(self, width, height):
        self.width, self.height = width, height

    @property
    def area(self):
        return self.width * self.height

box = Box(3, 4)
print(box.area, type(Box.width).__name__)
try:
    box.height = 0
except ValueError as error:
    print(error)

# expect:
# 12 Positive
# height must be positive
