import hashlib, sys
from xmlrpc.client import Binary, ServerProxy
gateway = ServerProxy(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:5851/")
key = Binary(hashlib.sha1(b"colors").digest())
for value in (b"red", b"green"):
    print("put", value.decode(), "->", gateway.put(key, Binary(value), 3600, "put_get.py"))
values, placemark = gateway.get(key, 10, Binary(b""), "put_get.py")
for value in values:
    print("got", value.data.decode())
