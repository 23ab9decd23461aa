import asyncio

class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data.upper(), address)

async def main():
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    got = loop.create_future()
    class Ask(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            transport.sendto(b"question")
        def datagram_received(self, data, address):
            got.set_result(data)
    client, _ = await loop.create_datagram_endpoint(Ask, remote_addr=server.get_extra_info("sockname"))
    print(await asyncio.wait_for(got, 30))
    client.close()
    server.close()

asyncio.run(main())

# expect:
# b'QUESTION'
