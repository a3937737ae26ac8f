"""get.py KEY [GATEWAY]: prints the values under a key, page by page."""
import hashlib
import sys
from xmlrpc.client import Binary, ServerProxy
key = Binary(hashlib.sha1(sys.argv[1].encode()).digest())
gateway = ServerProxy(sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:5851/")
place = None
while place is None or place.data:
    values, place = gateway.get(key, 100, place or Binary(b""), "get.py")
    for value in values:
        print(value.data.decode())
