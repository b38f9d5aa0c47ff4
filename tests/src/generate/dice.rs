//! A seeded source of choices.
//!
//! Written out here (`SplitMix64`, <https://prng.di.unimi.it/splitmix64.c>) because the generators of
//! the `rand` crate may give other numbers in its next release, and a figure or a failing case
//! quoted with its seed must mean the same data for good.

/// The golden ratio in 64 bits, the step of `SplitMix64`.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A sequence of choices that depends on its seed and stream alone.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The choices of one item: other streams of the same seed are unrelated to it, so that an
    /// item stays as it is when its neighbours change.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self(seed);
        let offset = dice.bits();
        Self(offset ^ stream.wrapping_mul(STEP))
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number from 0 up to, without, `bound`; 0 where the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.bits()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or_default()
    }

    /// A number between the two, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of the choices, of which there must be at least one.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// So many of the choices in their own order, fewer where there are not enough.
    pub fn sample<T: Clone>(&mut self, choices: &[T], wanted: usize) -> Vec<T> {
        let mut left = wanted.min(choices.len());
        let mut taken = Vec::with_capacity(left);
        for (index, choice) in choices.iter().enumerate() {
            if self.below(choices.len() - index) < left {
                taken.push(choice.clone());
                left -= 1;
            }
        }
        taken
    }

    /// So many hexadecimal digits, at most 16.
    pub fn hex(&mut self, digits: usize) -> String {
        format!("{:016x}", self.bits())[..digits].to_owned()
    }

    /// An identifier of the form that LaunchDarkly gives rules.
    pub fn uuid(&mut self) -> String {
        format!("{}-{}-4{}-a{}-{}", self.hex(8), self.hex(4), self.hex(3), self.hex(3), self.hex(12))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut dice = Dice(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| dice.bits()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn a_sample_has_the_wanted_size_and_keeps_the_order() {
        let choices: Vec<usize> = (0..20).collect();
        for seed in 0..50 {
            let taken = Dice::new(seed, 0).sample(&choices, 7);
            assert_eq!(taken.len(), 7);
            assert!(taken.is_sorted());
        }
    }
}
