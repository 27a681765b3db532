//! Columns, as wide as they need to be.

use super::style::{self, paint};

/// Rows below a faint head; cells may hold colours.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| width(cell)).collect();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            match widths.get_mut(index) {
                Some(widest) => *widest = (*widest).max(width(cell)),
                None => widths.push(width(cell)),
            }
        }
    }
    let head: Vec<String> = head.iter().map(|cell| paint(style::FAINT, cell)).collect();
    std::iter::once(&head).filter(|h| !h.is_empty()).chain(rows).map(|row| line(row, &widths)).collect()
}

/// How many columns a text takes on a terminal, colours apart.
pub(crate) fn width(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (index, cell) in row.iter().enumerate() {
        line += cell;
        if index + 1 < row.len() {
            let wide = widths.get(index).copied().unwrap_or_default();
            line += &" ".repeat(wide.saturating_sub(width(cell)) + 2);
        }
    }
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_colours() {
        let rows = vec![
            vec![paint(style::ADD, "id"), "local.random".to_owned()],
            vec!["site.page".to_owned(), "local.file".to_owned()],
        ];
        let shown = anstream::adapter::strip_str(&table(&["member", "type"], &rows)).to_string();
        insta::assert_snapshot!(shown, @r"
        member     type
        id         local.random
        site.page  local.file
        ");
    }
}
