import contextlib, decimal, functools, gc, heapq, itertools, re, statistics, sys, textwrap, weakref, unittest, doctest, configparser, argparse, gzip, tarfile, io, xml.etree.ElementTree as ET, locale, inspect
print(decimal.Decimal(1) / 7, statistics.stdev([1, 2, 4]), re.findall(r"\w+", "a bc"), list(itertools.permutations("abc", 2))[:3], ET.fromstring("<a><b/></a>")[0].tag, locale.setlocale(locale.LC_ALL), sys.getfilesystemencoding(), gzip.decompress(gzip.compress(b"z")))
class T(unittest.TestCase):
    def test_x(self): self.assertEqual(1, 1)
s = io.StringIO(); print(unittest.TextTestRunner(s).run(unittest.defaultTestLoader.loadTestsFromTestCase(T)).wasSuccessful()); sys.setrecursionlimit(500)
def f(): return f()
try: f()
except RecursionError as e: print(e)
