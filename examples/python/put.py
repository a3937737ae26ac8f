"""put.py KEY VALUE [GATEWAY]: stores a value for an hour."""
import hashlib
import sys
from xmlrpc.client import Binary, ServerProxy
key, value = (word.encode() for word in sys.argv[1:3])
gateway = ServerProxy(sys.argv[3] if len(sys.argv) > 3 else "http://127.0.0.1:5851/")
status = gateway.put(Binary(hashlib.sha1(key).digest()), Binary(value), 3600, "put.py")
print(("stored", "over capacity", "try again")[status])
sys.exit(status)
