import uuid

print(uuid.uuid5(uuid.NAMESPACE_DNS, "example.org"), uuid.uuid3(uuid.NAMESPACE_URL, "http://example.org"))
one = uuid.uuid4()
print(one.version, uuid.UUID(one.hex) == one, len({uuid.uuid4() for _ in range(1000)}))
print(uuid.UUID(int=1), uuid.UUID("{12345678-1234-5678-1234-567812345678}").fields[0])

# expect:
# aad03681-8b63-5304-89e0-8ca8f49461b5 b297218d-64d0-3671-bc3e-3bf7cb184c3c
# 4 True 1000
# 00000000-0000-0000-0000-000000000001 305419896
