import asyncio

async def patient():
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        print("cleaning up")
        raise
    finally:
        print("finally")

async def main():
    task = asyncio.create_task(patient(), name="patient")
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print(task.cancelled(), task.get_name())
    async def important():
        await asyncio.sleep(0.005)
        return "kept"
    inner = asyncio.create_task(important())
    try:
        await asyncio.wait_for(asyncio.shield(inner), 0.001)
    except TimeoutError:
        print(await inner)

asyncio.run(main())

# expect:
# cleaning up
# finally
# True patient
# kept
