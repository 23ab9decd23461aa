import asyncio

async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async def ask(word):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(word.encode() + b"\n")
            writer.write_eof()
            said = (await reader.read()).decode().strip()
            writer.close()
            return said
        print(await asyncio.gather(*(ask(w) for w in ("one", "two", "three"))))

asyncio.run(main())

# expect:
# ['ONE', 'TWO', 'THREE']
