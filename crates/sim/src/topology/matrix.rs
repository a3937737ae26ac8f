//! Measured latencies: a square table of milliseconds, rows apart by line, columns by tabs or spaces.
//!
//! The published sets have this form: King (latencies between name servers) and PlanetLab (round trips between hosts,
//! not symmetric). Two hosts may sit on one row; then they are as far apart as [`NEAR_MICROS`].

/// The greatest table: 5,000 rows are 100 MB as microseconds.
const ROWS_MAX: usize = 5_000;
/// One way between two hosts of one row, and the meaning of a measured zero.
const NEAR_MICROS: u32 = 250;

/// A measured table.
#[derive(Debug)]
pub struct Matrix {
    size: usize,
    micros: Vec<u32>,
}

impl Matrix {
    /// Reads a table; `round_trips` halves its entries.
    ///
    /// # Errors
    /// If it is not a square of non-negative numbers, or greater than 5,000 rows.
    pub fn parse(text: &str, round_trips: bool) -> Result<Matrix, String> {
        let per_entry = if round_trips { 500.0 } else { 1_000.0 };
        let mut micros = Vec::new();
        let mut width = 0;
        let mut size = 0;
        for (at, line) in text.lines().filter(|l| !l.trim().is_empty()).enumerate() {
            let before = micros.len();
            for entry in line.split_ascii_whitespace() {
                let ms: f64 = entry.parse().map_err(|_| format!("row {}: `{entry}` is no number", at + 1))?;
                if !(0.0..=4e6).contains(&ms) {
                    return Err(format!("row {}: {entry} ms is no latency", at + 1));
                }
                micros.push((ms * per_entry) as u32);
            }
            size += 1;
            width = if size == 1 { micros.len() } else { width };
            if micros.len() - before != width || size > ROWS_MAX {
                return Err(format!(
                    "row {size} has {} entries, the first has {width}",
                    micros.len() - before
                ));
            }
        }
        if size == 0 || size != width {
            return Err(format!("a square table is needed, this one has {size} rows of {width} entries"));
        }
        Ok(Matrix { size, micros })
    }

    /// Rows, and columns.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// One way, in microseconds.
    #[must_use]
    pub fn micros(&self, from: usize, to: usize) -> u64 {
        u64::from(self.micros[from * self.size + to].max(NEAR_MICROS))
    }
}
