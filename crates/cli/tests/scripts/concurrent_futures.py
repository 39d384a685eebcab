from concurrent.futures import *
import multiprocessing
def sq(x): return x * x
def bad(): raise ValueError("bad")
def die(): import os; os._exit(1)
if __name__ == "__main__":
    with ThreadPoolExecutor(3) as e: print(list(e.map(sq, range(8)))); print(repr(e.submit(bad).exception()))
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as e: print(list(e.map(sq, range(8)))); print(repr(e.submit(bad).exception()))
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as e: print(type(e.submit(die).exception()).__name__)
