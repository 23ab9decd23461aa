import threading
from xmlrpc.client import Fault, ServerProxy
from xmlrpc.server import SimpleXMLRPCServer

server = SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False, allow_none=True)
server.register_function(pow)
server.register_function(lambda a, b: a / b, "divide")
threading.Thread(target=server.serve_forever, args=(0.01,)).start()
with ServerProxy("http://127.0.0.1:%d" % server.server_address[1]) as proxy:
    print(proxy.pow(2, 8), proxy.divide(9, 4))
    try:
        proxy.divide(1, 0)
    except Fault as fault:
        print(fault.faultString)
server.shutdown()
server.server_close()

# expect:
# 256 2.25
# <class 'ZeroDivisionError'>:division by zero
