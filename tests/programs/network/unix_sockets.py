import array
import os
import socket
import tempfile
import threading

with tempfile.TemporaryDirectory() as folder:
    path = f"{folder}/s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        def client():
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(path)
                s.sendall(b"over a file")
        thread = threading.Thread(target=client)
        thread.start()
        connection, _ = listener.accept()
        print(connection.recv(100), os.path.exists(path))
        connection.close()
        thread.join()
a, b = socket.socketpair()
read, write = os.pipe()
socket.send_fds(a, [b"here"], [write])
message, [passed], *_ = socket.recv_fds(b, 10, 1)
os.write(passed, b"through a passed descriptor")
print(message, os.read(read, 100), array.array("i").itemsize)

# expect:
# b'over a file' True
# b'here' b'through a passed descriptor' 4
