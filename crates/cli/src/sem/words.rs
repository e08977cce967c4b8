//! How semaphores are written on the command line.

use std::time::Duration;
use usysv::Op;
use usysv::abi::SEMVMX;

/// `NUM=VALUE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The semaphore's number.
    pub num: u16,
    /// Its new value.
    pub value: u16,
}

/// Reads `NUM=VALUE`.
pub fn setting(text: &str) -> Result<Setting, String> {
    let (num, value) = text.split_once('=').ok_or("expected NUM=VALUE")?;
    let num = number(num)?;
    match value.parse() {
        Ok(value) if i32::from(value) <= SEMVMX => Ok(Setting { num, value }),
        _ => Err(format!("a value is in 0..{SEMVMX}")),
    }
}

/// Reads `NUM:+N`, `NUM:-N` or `NUM:0`.
pub fn operation(text: &str) -> Result<Op, String> {
    let (num, op) = text
        .split_once(':')
        .ok_or("expected NUM:+N, NUM:-N or NUM:0")?;
    let num = number(num)?;
    let why = || format!("after the colon stands +N, -N (up to {SEMVMX}) or 0");
    match op.parse::<i16>() {
        Ok(0) => Ok(Op::wait_zero(num)),
        Ok(n) if i32::from(n.unsigned_abs()) > SEMVMX => Err(why()),
        Ok(n) if n > 0 => Ok(Op::add(num, n.unsigned_abs())),
        Ok(n) => Ok(Op::take(num, n.unsigned_abs())),
        Err(_) => Err(why()),
    }
}

/// Reads seconds, with a fraction or without.
pub fn timeout(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|_| "not a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// An operation as it is written.
pub fn shown(op: &Op) -> String {
    match op.sem_op {
        0 => format!("{}:0", op.sem_num),
        n => format!("{}:{n:+}", op.sem_num),
    }
}

fn number(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is no semaphore's number (they start at 0)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_and_shown() {
        for text in ["0:+1", "3:-2", "7:0", "65535:+32767", "0:-32767"] {
            assert_eq!(operation(text).map(|op| shown(&op)), Ok(text.to_owned()));
        }
        assert_eq!(operation("1:2"), Ok(Op::add(1, 2)));
        for text in [
            "", "1", "1:", ":1", "-1:1", "0:+32768", "0:-32768", "65536:0", "0:x",
        ] {
            assert!(operation(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn settings_stay_within_a_semaphores_range() {
        let most = Setting {
            num: 2,
            value: 32767,
        };
        assert_eq!(setting("2=32767"), Ok(most));
        for text in ["", "2", "2=", "=2", "2=-1", "2=32768", "x=1"] {
            assert!(setting(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn timeouts_are_positive_seconds() {
        assert_eq!(timeout("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(timeout("0"), Ok(Duration::ZERO));
        for text in ["", "-1", "nan", "inf", "x", "1e99"] {
            assert!(timeout(text).is_err(), "{text:?}");
        }
    }
}
