import socket

one, two = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
for each in (one, two):
    each.bind(("127.0.0.1", 0))
    each.settimeout(30)
for word in (b"ping", b"", b"x" * 9000):
    one.sendto(word, two.getsockname())
    data, sender = two.recvfrom(65535)
    print(len(data), sender == one.getsockname())
two.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
print(two.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_DGRAM)
one.close()
two.close()

# expect:
# 4 True
# 0 True
# 9000 True
# True
