//! `random.randint` of Python, which the reference's `random` global scheduler draws from: MT19937
//! (Matsumoto & Nishimura 1998), seeded and cut to a range as `CPython` does.

const SIZE: usize = 624;

/// Python's generator.
pub struct PythonRandom {
    state: [u32; SIZE],
    at: usize,
}

impl PythonRandom {
    /// After `random.seed(seed)`.
    pub fn new(seed: u32) -> Self {
        let mut state = [0_u32; SIZE];
        state[0] = 19_650_218;
        for at in 1..SIZE {
            state[at] = mixed(state[at - 1], 1_812_433_253).wrapping_add(at as u32);
        }
        // By an array of one word.
        let mut at = 1;
        for _ in 0..SIZE {
            state[at] = (state[at] ^ mixed(state[at - 1], 1_664_525)).wrapping_add(seed);
            at = next(at, &mut state);
        }
        for _ in 1..SIZE {
            state[at] = (state[at] ^ mixed(state[at - 1], 1_566_083_941)).wrapping_sub(at as u32);
            at = next(at, &mut state);
        }
        state[0] = 0x8000_0000;
        Self { state, at: SIZE }
    }

    /// A number below `bound`, which is above zero.
    pub fn below(&mut self, bound: u32) -> u32 {
        let bits = 32 - bound.leading_zeros();
        loop {
            let draw = self.word() >> (32 - bits);
            if draw < bound {
                return draw;
            }
        }
    }

    /// The next 32 bits.
    pub fn word(&mut self) -> u32 {
        if self.at == SIZE {
            self.twist();
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for at in 0..SIZE {
            let y = (self.state[at] & 0x8000_0000) | (self.state[(at + 1) % SIZE] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[at] = self.state[(at + 397) % SIZE] ^ (y >> 1) ^ odd;
        }
        self.at = 0;
    }
}

const fn mixed(word: u32, factor: u32) -> u32 {
    (word ^ (word >> 30)).wrapping_mul(factor)
}

/// The place after `at`; the last word is copied to the first on the way around.
fn next(at: usize, state: &mut [u32; SIZE]) -> usize {
    if at + 1 < SIZE {
        return at + 1;
    }
    state[0] = state[SIZE - 1];
    1
}
