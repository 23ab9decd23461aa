import asyncio
import os
import signal

async def main():
    loop, got = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, got.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(got.wait(), 20)
    print("signal", loop.remove_signal_handler(signal.SIGUSR1))
    read, write = os.pipe()
    ready = asyncio.Event()
    loop.add_reader(read, ready.set)
    os.write(write, b"x")
    await asyncio.wait_for(ready.wait(), 20)
    print(os.read(read, 1), loop.remove_reader(read))

asyncio.run(main())

# expect:
# signal True
# b'x' True
