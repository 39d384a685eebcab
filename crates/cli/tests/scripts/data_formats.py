import base64, bz2, csv, hashlib, io, json, lzma, pickle, struct, sys, zipfile, zlib, uuid, hmac
print(json.dumps({"a": [1, 2.5, None, True, "ü"]}, sort_keys=True), json.loads('{"x": [1e3]}')); d = b"data" * 1000; print(len(zlib.compress(d)), zlib.crc32(d), len(bz2.compress(d)), lzma.decompress(lzma.compress(d)) == d)
for h in "md5 sha1 sha256 sha512 blake2b sha3_256".split(): print(h, hashlib.new(h, d).hexdigest()[:16])
print(struct.pack("<IhQ", 1, -2, 3).hex(), base64.b64encode(b"x\0y"), pickle.loads(pickle.dumps([1, (2,)])), uuid.uuid5(uuid.NAMESPACE_DNS, "a"), sys.byteorder, hmac.digest(b"k", b"m", "sha1").hex())
z = io.BytesIO(); zipfile.ZipFile(z, "w").writestr("n", "content"); print(hashlib.scrypt(b"p", salt=b"s", n=16, r=1, p=1).hex()[:16]); o = io.StringIO(); csv.writer(o).writerow([1, "a,b"]); print(repr(o.getvalue()))
