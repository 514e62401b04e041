"""The random numbers of lib/base/rng.h."""

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


class Stream:
    def __init__(self, seed, purpose, a, b):
        key = mix((seed + GOLDEN) & MASK)
        key = mix(key ^ GOLDEN * purpose & MASK)
        key = mix(key ^ mix((a + 2 * GOLDEN) & MASK))
        self.key, self.counter = mix(key ^ mix((b + 3 * GOLDEN) & MASK)), 0

    def bits(self):
        self.counter += 1
        return mix((self.key + self.counter * GOLDEN) & MASK)

    def uniform(self, low, high):
        return low + (high - low) * ((self.bits() >> 11) * 2.0**-53)

    def below(self, n):
        limit = MASK - MASK % n
        while (value := self.bits()) >= limit:
            pass
        return value % n

    def shuffle(self, values):
        for i in range(len(values), 1, -1):
            j = self.below(i)
            values[i - 1], values[j] = values[j], values[i - 1]
        return values
