import asyncio

async def work(n):
    await asyncio.sleep(0.001 * (5 - n))
    if n == 3:
        raise ValueError(n)
    return n * n

async def main():
    print(await asyncio.gather(*(work(n) for n in range(3))))
    print(await asyncio.gather(work(1), work(3), return_exceptions=True))
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)
    except TimeoutError:
        print("timeout")
    done, pending = await asyncio.wait([asyncio.create_task(work(n)) for n in (1, 2)], return_when=asyncio.ALL_COMPLETED)
    print(sorted(task.result() for task in done), len(pending))

asyncio.run(main())

# expect:
# [0, 1, 4]
# [1, ValueError(3)]
# timeout
# [1, 4] 0
