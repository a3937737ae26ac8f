"""The session of the user's guide and the corners around it, with Python's own xmlrpc.client: session.py URL"""
import hashlib
import sys
from xmlrpc.client import Binary, Fault, ServerProxy

gateway = ServerProxy(sys.argv[1])


def sha(data):
    return Binary(hashlib.sha1(data).digest())


def values(key, maxvals=10):
    found, place = [], Binary(b"")
    while True:
        page, place = gateway.get(key, maxvals, place, "session.py")
        found += [value.data.decode() for value in page]
        if not place.data:
            return found


key = sha(b"colors of python")
print("put red", gateway.put(key, Binary(b"red"), 3600, "session.py"))
print("put_removable blue", gateway.put_removable(key, Binary(b"blue"), "SHA", sha(b"sesame"), 3600, "session.py"))
print("get", *values(key))
print("rm blue", gateway.rm(key, sha(b"blue"), "SHA", Binary(b"sesame"), 3600, "session.py"))
print("get", *values(key))
details, place = gateway.get_details(key, 10, Binary(b""), "session.py")
for value, remaining, hash_type, secret_hash in details:
    fresh = "fresh" if 3500 < remaining <= 3600 else remaining
    print("details", value.data.decode(), fresh, hash_type, secret_hash.data.hex())
print("place", len(place.data))
try:
    gateway.colours()
except Fault as fault:
    print("fault", fault.faultCode, fault.faultString)

# What a removal hides, and what it does not.
print("hidden", gateway.put_removable(key, Binary(b"blue"), "SHA", sha(b"sesame"), 3600, "x"), *values(key))
print("wrong", gateway.rm(key, sha(b"red"), "SHA", Binary(b"sesame"), 3600, "x"), *values(key))
print("anew", gateway.put_removable(key, Binary(b"blue"), "SHA", sha(b"another"), 3600, "x"), *values(key))

# Pages, in the order of the puts.
key = sha(b"pages of python")
for n in range(30):
    assert gateway.put(key, Binary(b"six%03d" % n), 3600, "x") == 0
for maxvals in (1, 5, 2**31 - 1):
    assert values(key, maxvals) == ["six%03d" % n for n in range(30)], (maxvals, values(key, maxvals))
page, place = gateway.get(key, 100, Binary(b""), "x")
print("page", len(page), 0 < len(place.data) <= 100)
for text, bad in [
    ("key", lambda: gateway.put(Binary(b"k" * 21), Binary(b"v"), 60, "x")),
    ("value", lambda: gateway.put(key, Binary(b"v" * 1025), 60, "x")),
    ("secret", lambda: gateway.rm(key, sha(b"v"), "SHA", Binary(b"s" * 41), 60, "x")),
    ("algorithm", lambda: gateway.put_removable(key, Binary(b"v"), "MD5", sha(b"s"), 60, "x")),
]:
    try:
        print(text, "was taken", bad())
    except Fault as fault:
        print(text, fault.faultString)
