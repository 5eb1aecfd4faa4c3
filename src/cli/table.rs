//! Table of text whose columns are as wide as their widest cell.

use std::fmt;

/// Table of text.
pub(super) struct TextTable<const N: usize> {
    rows: Vec<[String; N]>,
    /// The columns of numbers, which end alike.
    numbers: &'static [usize],
    indent: &'static str,
}

impl<const N: usize> TextTable<N> {
    /// A table with a head and columns of numbers.
    pub(super) fn new(head: [&str; N], numbers: &'static [usize]) -> Self {
        Self { rows: vec![head.map(str::to_owned)], numbers, indent: "" }
    }

    /// The same, moved in.
    pub(super) fn indented(self) -> Self {
        Self { indent: "  ", ..self }
    }

    pub(super) fn add(&mut self, row: [String; N]) {
        self.rows.push(row);
    }
}

/// One line a row, each with its end.
impl<const N: usize> fmt::Display for TextTable<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        for row in &self.rows {
            let mut line = self.indent.to_owned();
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                let cell = match self.numbers.contains(&column) {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:width$}"),
                };
                line.push_str(&cell);
                line.push_str("  ");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut table = TextTable::new(["ENTRY", "REQUESTS", "LAST"], &[1]).indented();
        table.add(["münchen.example", "7", ""].map(str::to_owned));
        table.add(["a.example", "1200", "never"].map(str::to_owned));
        assert_eq!(
            table.to_string(),
            "  ENTRY            REQUESTS  LAST\n  münchen.example         7\n  a.example            1200  never\n"
        );
    }
}
