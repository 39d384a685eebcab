import os, random, secrets
random.seed(42); print(random.random(), random.sample(range(100), 5), random.gauss(0, 1)); print(len(os.urandom(16)), os.urandom(8) != os.urandom(8), len(secrets.token_hex()), len(os.getrandom(4)), 0 <= random.SystemRandom().random() < 1)
