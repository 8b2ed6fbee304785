//! Weights in rows: a row for each feature, or for each unit of a layer.

/// Rows are padded to a multiple of this, so that the inner loops are vectorised.
pub(crate) const LANES: usize = 8;

/// Rows that are being learned.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) width: usize,
    pub(crate) weights: Vec<f32>,
}

impl Rows {
    pub(crate) fn new(rows: usize, columns: usize, mut weight: impl FnMut() -> f32) -> Self {
        let width = columns.div_ceil(LANES) * LANES;
        Self { width, weights: (0..rows * width).map(|_| weight()).collect() }
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        self.weights.get(row * self.width..(row + 1) * self.width).unwrap_or_default()
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        self.weights.get_mut(row * self.width..(row + 1) * self.width).unwrap_or_default()
    }

    /// Adds the rows of a vector's features, each by its weight.
    pub(crate) fn add_to(&self, sums: &mut [f32], vector: &[(u32, f32)]) {
        for (feature, by) in vector {
            add(sums, self.row(*feature as usize), *by);
        }
    }
}

/// Adds a row by a factor.
pub(crate) fn add(sums: &mut [f32], row: &[f32], by: f32) {
    for (sum, weight) in sums.iter_mut().zip(row) {
        *sum += by * weight;
    }
}

/// Rows that were learned: the upper half of each number, which is all that its use needs, in half the memory.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    width: usize,
    halves: Vec<u16>,
}

impl Kept {
    pub(crate) fn new(rows: &Rows) -> Self {
        // Rounded by adding half of what is cut off.
        let half =
            |weight: &f32| u16::try_from(weight.to_bits().saturating_add(0x8000) >> 16).unwrap_or(u16::MAX);
        Self { width: rows.width, halves: rows.weights.iter().map(half).collect() }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// As [`Rows::add_to`].
    pub(crate) fn add_to(&self, sums: &mut [f32], vector: &[(u32, f32)]) {
        for (feature, by) in vector {
            let start = *feature as usize * self.width;
            let row = self.halves.get(start..start + self.width).unwrap_or_default();
            for (sum, half) in sums.iter_mut().zip(row) {
                *sum += by * whole(*half);
            }
        }
    }

    pub(crate) fn weight(&self, row: usize, column: usize) -> f32 {
        self.halves.get(row * self.width + column).copied().map_or(0.0, whole)
    }
}

fn whole(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}
