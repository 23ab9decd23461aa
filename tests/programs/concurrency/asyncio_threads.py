import asyncio
import threading

async def main():
    print(await asyncio.to_thread(lambda: threading.current_thread() is not threading.main_thread()))
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, "from a thread")).start()
    print(await future)
    def outside():
        return asyncio.run_coroutine_threadsafe(asyncio.sleep(0.001, "result"), loop).result(20)
    print(await asyncio.to_thread(outside))

asyncio.run(main())

# expect:
# True
# from a thread
# result
