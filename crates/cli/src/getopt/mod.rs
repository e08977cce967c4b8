//! `getopt_long(3)` as glibc has it: permutation, abbreviated long options, clustered short ones,
//! optional arguments, `POSIXLY_CORRECT`, and the same words on standard error.
//!
//! clap's grammar differs in all of these, and the classic tools' callers are scripts. The suite
//! compares this with the libc's own function where that one is glibc's.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Whether an option takes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// No argument.
    Nothing,
    /// An argument, in the same word or the next.
    Value,
    /// An argument in the same word, or none (`a::`).
    MaybeValue,
}

/// One option: its letter, which is also its answer, and its long name.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// What [`Getopt::next`] answers, and the short option unless `long_only`.
    pub letter: u8,
    /// The long name, without dashes.
    pub long: &'static str,
    /// Its argument.
    pub takes: Takes,
    /// The letter is not a short option.
    pub long_only: bool,
}

/// The usual option, with a letter and a long name.
pub const fn opt(letter: u8, long: &'static str, takes: Takes) -> Opt {
    Opt {
        letter,
        long,
        takes,
        long_only: false,
    }
}

/// The line that getopt prints on standard error.
#[derive(Debug, PartialEq, Eq)]
pub struct Bad(pub Vec<u8>);

/// The walk over an argument vector.
pub struct Getopt<'a> {
    program: &'a OsStr,
    args: &'a [OsString],
    options: &'a [Opt],
    next: usize,
    /// The rest of a cluster of short options.
    cluster: &'a [u8],
    posix: bool,
    operands: Vec<&'a OsStr>,
}

impl<'a> Getopt<'a> {
    /// Starts on `args` (without the program's name, which only messages use).
    pub fn new(program: &'a OsStr, args: &'a [OsString], options: &'a [Opt]) -> Getopt<'a> {
        Getopt {
            program,
            args,
            options,
            next: 0,
            cluster: &[],
            posix: std::env::var_os("POSIXLY_CORRECT").is_some(),
            operands: Vec::new(),
        }
    }

    /// The next option's letter and argument; `None` at the end.
    pub fn next(&mut self) -> Option<Result<(u8, Option<&'a OsStr>), Bad>> {
        if self.cluster.is_empty() {
            let word = self.next_option_word()?;
            if let Some(long) = word.strip_prefix(b"--") {
                return Some(self.long(long));
            }
            self.cluster = &word[1..];
        }
        Some(self.short())
    }

    /// What is left when the options have ended: the operands, in order.
    pub fn operands(&self) -> &[&'a OsStr] {
        &self.operands
    }

    /// Steps over operands, which end the walk only under `POSIXLY_CORRECT`, and over `--`.
    fn next_option_word(&mut self) -> Option<&'a [u8]> {
        while let Some(arg) = self.args.get(self.next) {
            let word = arg.as_bytes();
            if word == b"--" {
                self.next += 1;
                self.take_rest();
            } else if word.len() > 1 && word[0] == b'-' {
                self.next += 1;
                return Some(word);
            } else if self.posix {
                self.take_rest();
            } else {
                self.next += 1;
                self.operands.push(arg);
            }
        }
        None
    }

    fn take_rest(&mut self) {
        self.operands
            .extend(self.args[self.next..].iter().map(OsString::as_os_str));
        self.next = self.args.len();
    }

    fn next_word(&mut self) -> Option<&'a OsStr> {
        let word = self.args.get(self.next)?;
        self.next += 1;
        Some(word)
    }

    fn short(&mut self) -> Result<(u8, Option<&'a OsStr>), Bad> {
        let (letter, rest) = (self.cluster[0], &self.cluster[1..]);
        self.cluster = rest;
        let known = |o: &&Opt| !o.long_only && o.letter == letter;
        let Some(option) = self.options.iter().find(known) else {
            return self.complain(&[b"invalid option -- '", &[letter], b"'"]);
        };
        let joined = (!rest.is_empty()).then(|| OsStr::from_bytes(rest));
        match option.takes {
            Takes::Nothing => return Ok((letter, None)),
            Takes::MaybeValue => self.cluster = &[],
            Takes::Value => self.cluster = &[],
        }
        if joined.is_some() || option.takes == Takes::MaybeValue {
            return Ok((letter, joined));
        }
        match self.next_word() {
            Some(value) => Ok((letter, Some(value))),
            None => self.complain(&[b"option requires an argument -- '", &[letter], b"'"]),
        }
    }

    fn long(&mut self, word: &'a [u8]) -> Result<(u8, Option<&'a OsStr>), Bad> {
        let (name, value) = match word.iter().position(|&b| b == b'=') {
            Some(at) => (&word[..at], Some(OsStr::from_bytes(&word[at + 1..]))),
            None => (word, None),
        };
        let candidates: Vec<&Opt> = self
            .options
            .iter()
            .filter(|o| o.long.as_bytes().starts_with(name))
            .collect();
        let exact = candidates.iter().find(|o| o.long.as_bytes() == name);
        let option = match (exact, candidates.as_slice()) {
            (Some(option), _) | (None, [option]) => *option,
            (None, []) => return self.complain(&[b"unrecognized option '--", word, b"'"]),
            (None, several) => {
                let mut text = [b"option '--", word, b"' is ambiguous; possibilities:"].concat();
                for o in several {
                    text.extend_from_slice(format!(" '--{}'", o.long).as_bytes());
                }
                return self.complain(&[&text]);
            }
        };
        let quoted = [b"option '--", option.long.as_bytes(), b"'"].concat();
        match (option.takes, value) {
            (Takes::Nothing, Some(_)) => self.complain(&[&quoted, b" doesn't allow an argument"]),
            (Takes::Value, None) => match self.next_word() {
                Some(value) => Ok((option.letter, Some(value))),
                None => self.complain(&[&quoted, b" requires an argument"]),
            },
            (_, value) => Ok((option.letter, value)),
        }
    }

    fn complain<T>(&self, parts: &[&[u8]]) -> Result<T, Bad> {
        Err(Bad([
            self.program.as_bytes(),
            b": ",
            &parts.concat(),
            b"\n",
        ]
        .concat()))
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests;
