import asyncio
import selectors

loop = asyncio.SelectorEventLoop(selectors.PollSelector())
asyncio.set_event_loop(loop)
print(loop.run_until_complete(asyncio.sleep(0, "poll")))
print(loop.run_until_complete(loop.run_in_executor(None, sum, range(10))))
loop.close()
with asyncio.Runner() as runner:
    print(runner.run(asyncio.sleep(0, "runner")), loop.is_closed())

# expect:
# poll
# 45
# runner True
