import ssl

context = ssl.create_default_context()
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
client = context.wrap_bio(incoming, outgoing, server_hostname="example.org")
try:
    client.do_handshake()
except ssl.SSLWantReadError:
    hello = outgoing.read()
    print(hello[0] == 0x16, b"example.org" in hello)
print(context.verify_mode.name, context.check_hostname, ssl.HAS_TLSv1_3)
incoming.write(b"not TLS at all")
try:
    client.do_handshake()
except ssl.SSLError as error:
    print(error.reason)

# expect:
# True True
# CERT_REQUIRED True True
# WRONG_VERSION_NUMBER
