//! The command line.

use crate::rows::{self, ROWS, Row, Side};
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
    /// Where to write everything as JSON.
    pub json: Option<PathBuf>,
}

/// How we are used.
pub fn usage() -> String {
    let names: Vec<_> = ROWS
        .iter()
        .map(|row| format!("  {:18} {}\n", row.name, row.title))
        .collect();
    format!(
        "Usage: usysv-bench [table | demo | row NAME] [--json FILE]\n\n\
         Measures System V message queues on Linux and on usysv, in one run.\n\n  \
         table        every row: one to two minutes (the default)\n  \
         demo         four rows: a few seconds\n  \
         row NAME     one row\n  \
         --json FILE  also write every sample there\n\n\
         libusysv.so is taken from $USYSV_LIB or from beside this program.\n\
         The kernel's column takes root, for an IPC namespace of its own.\n\nRows:\n{}",
        names.concat()
    )
}

/// Understands a command line (without the program's name).
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, String> {
    let mut words = words.into_iter();
    let mut plain = Vec::new();
    let mut json = None;
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--json") => json = Some(words.next().ok_or("--json takes a file's name")?.into()),
            Some("-h" | "--help") => {
                return Ok(Args {
                    command: Command::Help,
                    json: None,
                });
            }
            Some(text) => match text.strip_prefix("--json=") {
                Some(path) => json = Some(path.into()),
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
        ["worker", side, name] => Command::Worker(
            Side::named(side).ok_or(format!("there is no side {side:?}"))?,
            row(name)?,
        ),
        _ => return Err(format!("what is \"{}\"?", plain.join(" "))),
    };
    Ok(Args { command, json })
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
            parsed("--json x demo").unwrap().command,
            Command::Demo
        ));
    }

    #[test]
    fn json_takes_a_file_either_way() {
        for line in ["--json out.json", "table --json=out.json"] {
            assert_eq!(parsed(line).unwrap().json, Some("out.json".into()));
        }
        assert!(parsed("table --json").is_err());
    }

    #[test]
    fn unknown_words_are_refused() {
        for line in [
            "tabel",
            "row",
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
