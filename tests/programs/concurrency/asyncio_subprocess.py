import asyncio

async def main():
    child = await asyncio.create_subprocess_exec("sort", "-n", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    out, _ = await child.communicate(b"10\n9\n1\n")
    print(out.split(), child.returncode)
    child = await asyncio.create_subprocess_shell("echo err >&2; exit 3", stderr=asyncio.subprocess.PIPE)
    print((await child.stderr.read()).strip(), await child.wait())
    sleeper = await asyncio.create_subprocess_exec("sleep", "600")
    sleeper.terminate()
    print(await sleeper.wait())

asyncio.run(main())

# expect:
# [b'1', b'9', b'10'] 0
# b'err' 3
# -15
