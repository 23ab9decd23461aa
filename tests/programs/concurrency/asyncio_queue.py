import asyncio

async def main():
    queue, out = asyncio.Queue(2), []

    async def produce():
        for n in range(6):
            await queue.put(n)
        await queue.put(None)

    async def consume():
        while (item := await queue.get()) is not None:
            out.append(item)

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        group.create_task(consume())
    print(out)
    lock, event, semaphore = asyncio.Lock(), asyncio.Event(), asyncio.Semaphore(2)
    async with lock, semaphore:
        print(lock.locked(), semaphore.locked())
    asyncio.get_running_loop().call_later(0.001, event.set)
    print(await event.wait())

asyncio.run(main())

# expect:
# [0, 1, 2, 3, 4, 5]
# True False
# True
