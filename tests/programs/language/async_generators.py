import asyncio
from contextlib import asynccontextmanager

@asynccontextmanager
async def resource(name):
    print("open", name)
    try:
        yield name
    finally:
        print("close", name)

async def ticks(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i

async def main():
    async with resource("r"):
        print([i async for i in ticks(4) if i % 2])
        print({i: c async for i, c in aenumerate("ab")})

async def aenumerate(items):
    for pair in enumerate(items):
        yield pair

asyncio.run(main())

# expect:
# open r
# [1, 3]
# {0: 'a', 1: 'b'}
# close r
