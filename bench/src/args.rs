//! The command line.

use crate::row::Row;
use crate::rows::{self, ROWS};
use crate::side::Side;
use std::ffi::OsString;
use std::path::PathBuf;

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// Measure every row.
    Table,
    /// Measure four rows, quickly.
    Demo,
    /// Measure one row.
    Row(&'static Row),
    /// Count the instructions of the hot paths, and compare them with this table or write it anew.
    Instructions { table: PathBuf, renew: bool },
    /// Be a worker; only the parent says so.
    Worker(Side, &'static Row),
    /// Say how we are used.
    Help,
}

/// The command line, understood.
#[derive(Debug)]
pub struct Args {
    /// What to do.
    pub command: Command,
    /// The directory for the table, the figures and the plot, if they are to be kept.
    pub out: Option<PathBuf>,
}

/// How we are used.
pub fn usage() -> String {
    let names: Vec<_> = ROWS
        .iter()
        .map(|row| format!("  {:18} {}\n", row.name, row.title))
        .collect();
    format!(
        "Usage: usysv-bench [table | demo | row NAME | instructions FILE [renew]] [--out DIR]\n\n\
         Measures System V IPC on Linux and on usysv, and other channels beside them, in one run.\n\n  \
         table              every row: some minutes (the default)\n  \
         demo               four rows: a few seconds\n  \
         row NAME           one row\n  \
         instructions FILE  count the hot paths' instructions (under valgrind) and compare them\n                     \
         with FILE; renew: write FILE\n  \
         --out DIR          also write table.txt, results.json and ratios.svg there\n\n\
         libusysv.so is taken from $USYSV_LIB or from beside this program.\n\
         The kernel's column takes root, for an IPC namespace of its own.\n\nRows:\n{}",
        names.concat()
    )
}

/// Understands a command line (without the program's name).
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, String> {
    let mut words = words.into_iter();
    let mut plain = Vec::new();
    let mut out = None;
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--out") => out = Some(words.next().ok_or("--out takes a directory")?.into()),
            Some("-h" | "--help") => {
                return Ok(Args {
                    command: Command::Help,
                    out: None,
                });
            }
            Some(text) => match text.strip_prefix("--out=") {
                Some(path) => out = Some(path.into()),
                None => plain.push(text.to_owned()),
            },
            None => return Err(format!("what is {word:?}?")),
        }
    }
    let plain: Vec<_> = plain.iter().map(String::as_str).collect();
    let row = |name: &str| rows::named(name).ok_or(format!("there is no row {name:?}"));
    let command = match plain[..] {
        [] | ["table"] => Command::Table,
        ["demo"] => Command::Demo,
        ["row", name] => Command::Row(row(name)?),
        ["row"] => return Err("row takes a row's name".into()),
        ["instructions", table] => Command::Instructions {
            table: table.into(),
            renew: false,
        },
        ["instructions", table, "renew"] => Command::Instructions {
            table: table.into(),
            renew: true,
        },
        ["instructions"] => return Err("instructions takes a table's name".into()),
        ["worker", side, name] => Command::Worker(
            Side::named(side).ok_or(format!("there is no side {side:?}"))?,
            row(name)?,
        ),
        _ => return Err(format!("what is \"{}\"?", plain.join(" "))),
    };
    Ok(Args { command, out })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Args, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_table_is_the_default() {
        assert!(matches!(parsed("").unwrap().command, Command::Table));
        assert!(matches!(
            parsed("--out x demo").unwrap().command,
            Command::Demo
        ));
    }

    #[test]
    fn out_takes_a_directory_either_way() {
        for line in ["--out here", "table --out=here"] {
            assert_eq!(parsed(line).unwrap().out, Some("here".into()));
        }
        assert!(parsed("table --out").is_err());
    }

    #[test]
    fn unknown_words_are_refused() {
        for line in [
            "tabel",
            "row",
            "instructions",
            "instructions table again",
            "row nosuch",
            "table demo",
            "--fast",
            "worker x pair-8",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert!(matches!(
            parsed("row pair-8").unwrap().command,
            Command::Row(_)
        ));
    }
}
