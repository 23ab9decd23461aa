import select
import selectors
import socket

pairs = [socket.socketpair() for _ in range(3)]
for n, (a, _) in enumerate(pairs):
    a.send(bytes([65 + n]) * (n + 1))
ready, writable, _ = select.select([b for _, b in pairs], [pairs[0][0]], [], 30)
print(len(ready), len(writable), sorted(b.recv(10) for b in ready))
with selectors.DefaultSelector() as selector:
    for n, (_, b) in enumerate(pairs):
        selector.register(b, selectors.EVENT_READ, data=n)
    pairs[1][0].send(b"x")
    print([(key.data, key.fileobj.recv(1)) for key, _ in selector.select(30)], selector.select(0))
poll = select.poll()
poll.register(pairs[2][1], select.POLLIN)
pairs[2][0].close()
print(bool(poll.poll(30_000)[0][1] & select.POLLHUP))
for a, b in pairs:
    a.close()
    b.close()

# expect:
# 3 1 [b'A', b'BB', b'CCC']
# [(1, b'x')] []
# True
