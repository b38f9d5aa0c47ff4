//! Seeds changed by chance: a few bits here, half of another seed there, and what parsers stumble over.
//!
//! Everything follows from one number, so that a run can be had again.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::ops::Range;

/// The longest input.
const MOST_BYTES: usize = 64 * 1024;
/// What stands at the edges of formats.
const TOKENS: [&[u8]; 28] = [
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"-1",
    b"0",
    b"1e999",
    b"1.5",
    b"9007199254740992",
    b"18446744073709551616",
    b"\\ud800",
    b"\\u0000",
    b"\xff",
    b"\xef\xbb\xbf",
    b"%",
    b"%zz",
    b"&",
    b"=",
    b"\n",
];

/// Makes inputs out of seeds.
#[derive(Debug)]
pub struct Mutator {
    chance: SmallRng,
    seeds: Vec<Vec<u8>>,
}

impl Mutator {
    /// Of the seeds there must be at least one.
    pub fn new(seed: u64, seeds: Vec<Vec<u8>>) -> Self {
        Self { chance: SmallRng::seed_from_u64(seed), seeds }
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.seed();
        for _ in 0..1 << self.chance.random_range(0..4) {
            self.change(&mut input);
        }
        input.truncate(MOST_BYTES);
        input
    }

    fn seed(&mut self) -> Vec<u8> {
        let number = self.chance.random_range(0..self.seeds.len());
        self.seeds[number].clone()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let part = self.part(input.len());
        let token = TOKENS[self.chance.random_range(0..TOKENS.len())];
        match self.chance.random_range(0..11) {
            0 | 1 => self.flip(input),
            2 => input.truncate(part.start),
            3 => drop(input.drain(part)),
            4 => {
                let copy = input[part.clone()].to_vec();
                input.splice(part.start..part.start, copy);
            }
            5 => drop(input.splice(part, token.iter().copied())),
            6 => drop(input.splice(part.start..part.start, token.iter().copied())),
            7 => {
                let depth = self.chance.random_range(1..2_000);
                input.splice(part.start..part.start, token.repeat(depth));
            }
            8 => self.replace_number(input),
            9 => {
                let other = self.seed();
                let of_other = self.part(other.len());
                input.splice(part, other[of_other].iter().copied());
            }
            _ => {
                let noise: Vec<u8> = (0..self.chance.random_range(1..9)).map(|_| self.chance.random()).collect();
                input.splice(part.start..part.start, noise);
            }
        }
    }

    fn flip(&mut self, input: &mut [u8]) {
        if !input.is_empty() {
            let position = self.chance.random_range(0..input.len());
            input[position] ^= 1 << self.chance.random_range(0..8);
        }
    }

    /// Puts another number in the place of one in the text.
    fn replace_number(&mut self, input: &mut Vec<u8>) {
        let from = self.chance.random_range(0..=input.len());
        let Some(start) = input[from..].iter().position(u8::is_ascii_digit).map(|found| from + found) else { return };
        let length = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = match self.chance.random_range(0..3) {
            0 => self.chance.random_range(0..10).to_string(),
            1 => self.chance.random::<u32>().to_string(),
            _ => self.chance.random::<u64>().to_string(),
        };
        input.splice(start..start + length, number.into_bytes());
    }

    /// Some part, mostly a short one.
    fn part(&mut self, length: usize) -> Range<usize> {
        let start = self.chance.random_range(0..=length);
        let most = if self.chance.random_bool(0.8) { 16 } else { length };
        start..(start + self.chance.random_range(0..=most)).min(length)
    }
}
