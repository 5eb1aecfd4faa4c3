//! Rows of the table that is printed: what, wanted, measured, whether that is so.

use std::fmt::Display;
use std::time::Duration;

/// The rows so far, each printed as soon as it is known.
#[derive(Default)]
pub struct Rows {
    missed: usize,
}

impl Rows {
    /// An empty table, with its heading printed.
    pub fn new() -> Self {
        print("what", "wanted", "measured", "");
        Self::default()
    }

    /// Whether every row is as wanted.
    pub fn are_met(&self) -> bool {
        self.missed == 0
    }

    /// A figure that nothing is wanted of.
    pub fn told(&mut self, what: impl Display, measured: impl Display) {
        print(&what, "", &measured, "");
    }

    /// A figure, and whether it is as wanted.
    pub fn judged(&mut self, what: impl Display, wanted: impl Display, measured: impl Display, is_met: bool) {
        self.missed += usize::from(!is_met);
        print(&what, &wanted, &measured, if is_met { "ok" } else { "MISSED" });
    }

    /// A count of what must not happen. `first` tells about the first time that it did.
    pub fn none(&mut self, what: impl Display, count: u64, first: &str) {
        self.judged(what, 0, counted(count, first), count == 0);
    }

    /// A time that must not be longer.
    pub fn at_most(&mut self, what: impl Display, most: Duration, measured: Duration) {
        self.judged(what, format!("<= {}", text(most)), text(measured), measured <= most);
    }
}

/// A count, with what the first of it was.
pub fn counted(count: u64, first: &str) -> String {
    if first.is_empty() { count.to_string() } else { format!("{count} (first: {first})") }
}

/// A time as people read it.
pub fn text(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

fn print(what: impl Display, wanted: impl Display, measured: impl Display, verdict: &str) {
    let cells = [what.to_string(), wanted.to_string(), measured.to_string()];
    let [what, wanted, measured] = cells.map(|cell| cell.replace('\n', " "));
    println!("{}", format!("{what:<84}  {wanted:<12}  {measured:<24}  {verdict}").trim_end());
}
