//! Columns under each other, for terminals; a Chinese character is two wide.

use unicode_width::UnicodeWidthStr as _;

pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: Vec<usize> = (0..N)
        .map(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or_default())
        .collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths);
        let cells =
            cells.map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width())));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn columns_stand_under_each_other_in_any_script() {
        let rows = [["甲", "1"], ["abc", "2"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), "甲   1\nabc  2");
    }
}
