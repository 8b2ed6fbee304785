//! Statements over rows: one execution carries what many commits insert, or what many callers ask.

use std::collections::HashMap;
use std::sync::Arc;

use super::Engine;
use super::value::Statement;

/// Rows in one execution at most. Both engines take more parameters than the widest table then has.
pub(super) const ROWS_MAX: usize = 64;

impl Statement {
    /// The statement over rows, if it is one: all its parameters stand inside its one `VALUES (…)`, so that one
    /// execution can carry the rows of many commits. They stand there in their order, each once.
    pub(super) fn over_rows(self) -> Option<OverRows> {
        let (head, rest) = self.sql.split_once("VALUES (")?;
        let mut depth = 1_u32;
        let end = rest.find(|character| {
            match character {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            depth == 0
        })?;
        let (row, tail) = rest.split_at_checked(end)?;
        let columns = row.matches('$').count();
        let in_order = row.split('$').skip(1).zip(1_usize..).all(|(rest, number)| {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            rest.get(..digits).is_some_and(|digits| digits.parse() == Ok(number))
        });
        let inside = in_order && columns > 0 && !head.contains('$') && !tail.contains('$');
        inside.then_some(OverRows { head, row, tail, columns })
    }
}

/// The parts of a statement over rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct OverRows {
    head: &'static str,
    row: &'static str,
    tail: &'static str,
    columns: usize,
}

impl OverRows {
    /// The text for so many rows, made of constants only. Parameters go on counting from row to row; SQLite counts
    /// them itself, because it finds a numbered one only by looking at all before it.
    pub(super) fn text(&self, engine: Engine, rows: usize) -> String {
        let mut text = format!("{}VALUES ", self.head);
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { "), (" });
            let mut parts = self.row.split('$');
            text.push_str(parts.next().unwrap_or_default());
            for (column, part) in parts.enumerate() {
                match engine {
                    Engine::Sqlite => text.push('?'),
                    Engine::Postgres => {
                        text.push('$');
                        text.push_str(&(row * self.columns + column + 1).to_string());
                    }
                }
                text.push_str(part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
            }
        }
        text.push_str(self.tail);
        text
    }
}

/// The texts that one connection has used, each made once: it prepares a text only the first time.
pub(super) struct Texts {
    engine: Engine,
    over: HashMap<Constant, Option<OverRows>>,
    texts: HashMap<(Constant, usize), Arc<str>>,
}

/// Address and length of a constant text: faster to look up than the text, and no two texts share both.
type Constant = (usize, usize);

fn constant(statement: Statement) -> Constant {
    (statement.sql.as_ptr().addr(), statement.sql.len())
}

impl Texts {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine, over: HashMap::new(), texts: HashMap::new() }
    }

    /// As [`Statement::over_rows`], read once.
    pub(super) fn over_rows(&mut self, statement: Statement) -> Option<OverRows> {
        *self.over.entry(constant(statement)).or_insert_with(|| statement.over_rows())
    }

    /// The text of a statement over rows, for a number of them.
    pub(super) fn of(&mut self, statement: Statement, over: OverRows, rows: usize) -> Arc<str> {
        let key = (constant(statement), rows);
        self.texts.entry(key).or_insert_with(|| over.text(self.engine, rows).into()).clone()
    }
}

/// How many rows the next execution takes: few different numbers, so that few texts are prepared.
pub(super) fn chunk(rows_left: usize) -> usize {
    [ROWS_MAX, 32, 16, 8, 4, 2].into_iter().find(|size| *size <= rows_left).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn statement(sql: &'static str) -> Statement {
        Statement { name: "TEST", sql }
    }

    #[test]
    fn rows_are_repeated_and_parameters_count_on() {
        let insert =
            statement("INSERT INTO t (a, b, c) VALUES ($1, 1, lower($2)) ON CONFLICT (a) DO NOTHING");
        let over = insert.over_rows().unwrap();
        assert_eq!(over.text(Engine::Postgres, 1), insert.sql);
        assert_eq!(
            over.text(Engine::Sqlite, 2),
            "INSERT INTO t (a, b, c) VALUES (?, 1, lower(?)), (?, 1, lower(?)) ON CONFLICT (a) DO NOTHING"
        );
        assert_eq!(
            over.text(Engine::Postgres, 3),
            "INSERT INTO t (a, b, c) VALUES ($1, 1, lower($2)), ($3, 1, lower($4)), ($5, 1, lower($6)) \
             ON CONFLICT (a) DO NOTHING"
        );
        let wide = statement("INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
        assert_eq!(wide.over_rows().unwrap().text(Engine::Postgres, 1), wide.sql);
    }

    #[test]
    fn a_statement_with_a_parameter_elsewhere_is_none_over_rows() {
        for sql in [
            "SELECT a FROM t WHERE b = $1",
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = $1",
            "UPDATE t SET a = $1 FROM (VALUES ($2)) AS v",
            "INSERT INTO t (a) VALUES (1)",
            "INSERT INTO t (a, b) VALUES ($2, $1)",
            "INSERT INTO t (a, b) VALUES ($1, $1)",
        ] {
            assert!(statement(sql).over_rows().is_none(), "{sql}");
        }
    }

    #[test]
    fn few_texts_serve_any_number_of_rows() {
        let chunks = |mut left: usize| {
            std::iter::from_fn(|| (left > 0).then(|| chunk(left)).inspect(|taken| left -= taken))
                .collect::<Vec<_>>()
        };
        assert_eq!(chunks(150), [64, 64, 16, 4, 2]);
        assert_eq!(chunks(63), [32, 16, 8, 4, 2, 1]);
    }
}
