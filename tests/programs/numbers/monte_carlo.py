import random

rng = random.Random(42)
inside = sum(rng.random() ** 2 + rng.random() ** 2 < 1 for _ in range(50_000))
print(3.1 < 4 * inside / 50_000 < 3.2)
print(rng.__class__.__name__, random.Random(7).randint(1, 100), random.Random(7).sample(range(50), 5))
deck = list(range(8))
random.Random(1).shuffle(deck)
print(sorted(deck) == list(range(8)), random.Random(3).choices("ab", weights=[0, 1], k=3))

# expect:
# True
# Random 42 [20, 9, 25, 41, 3]
# True ['b', 'b', 'b']
