from enum import Enum, Flag, IntEnum, StrEnum, auto, unique

@unique
class State(StrEnum):
    QUEUED = auto()
    DONE = "finished"

class Level(IntEnum):
    LOW, HIGH = 1, 10

class Right(Flag):
    READ = auto()
    WRITE = auto()
    ALL = READ | WRITE

class Planet(Enum):
    EARTH = (5.97e24, 6.37e6)
    def __init__(self, mass, radius):
        self.mass, self.radius = mass, radius
    @property
    def gravity(self):
        return 6.674e-11 * self.mass / self.radius**2

print(State.QUEUED, State("finished").name, Level.HIGH > Level.LOW, list(State))
print(Right.READ | Right.WRITE is not None, Right.WRITE in Right.ALL, round(Planet.EARTH.gravity, 1))

# expect:
# queued DONE True [<State.QUEUED: 'queued'>, <State.DONE: 'finished'>]
# True True 9.8
