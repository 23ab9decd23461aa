class Registry(type):
    known = {}

    def __new__(cls, name, bases, body, **options):
        made = super().__new__(cls, name, bases, body)
        if bases:
            cls.known[options.get("key", name.lower())] = made
        return made

    def __init__(cls, name, bases, body, **options):
        super().__init__(name, bases, body)

class Plugin(metaclass=Registry):
    pass

class Json(Plugin):
    pass

class Yaml(Plugin, key="yml"):
    pass

class Base:
    subclasses = []
    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        Base.subclasses.append(cls.__name__)

class A(Base): ...
class B(A): ...
print(sorted(Registry.known), Base.subclasses, type(Json).__name__)

# expect:
# ['json', 'yml'] ['A', 'B'] Registry
