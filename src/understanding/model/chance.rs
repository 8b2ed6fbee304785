//! A small generator of pseudo-random numbers (SplitMix64): the same seed, the same model.

use crate::Vector;

pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// From -1 to 1.
    pub(crate) fn even(&mut self) -> f32 {
        let [_, _, _, _, _, _, first, second] = self.next().to_be_bytes();
        f32::from(i16::from_be_bytes([first, second])) / 32_768.0
    }

    /// The features of an example that are kept this time, heavier for those that are not.
    pub(crate) fn keep(&mut self, vector: &Vector, share: u8, kept: &mut Vector) {
        let heavier = 256.0 / f32::from(share.max(1));
        kept.clear();
        for (feature, weight) in vector {
            if self.byte() < share {
                kept.push((*feature, weight * heavier));
            }
        }
    }

    pub(crate) fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            let bound = u64::try_from(last).unwrap_or(u64::MAX) + 1;
            let other = usize::try_from(self.next() % bound).unwrap_or(0);
            order.swap(last, other);
        }
    }
}
