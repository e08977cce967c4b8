//! Numbers as `strtoul(3)` reads them, and sizes as `--human` shows them.

/// Why a number is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// There is something else in the text, or nothing.
    Syntax,
    /// It does not fit.
    Range,
}

/// `strtoul(text, &end, base)` with everything consumed; base 0 knows `0x` and `0`.
///
/// Like the C function it takes white space and a sign first, and negates in the unsigned type.
pub fn strtoul(text: &[u8], base: u32) -> Result<u64, Bad> {
    let (negative, digits) = sign(text);
    let (base, digits) = match (base, digits) {
        (0 | 16, [b'0', b'x' | b'X', rest @ ..]) if starts_with_digit(rest, 16) => (16, rest),
        (0, [b'0', ..]) => (8, digits),
        (0, _) => (10, digits),
        _ => (base, digits),
    };
    let value = magnitude(digits, base)?;
    Ok(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// A decimal number in 32 signed bits: util-linux's `strtos32`.
pub fn strtos32(text: &[u8]) -> Result<i32, Bad> {
    let (negative, digits) = sign(text);
    let value = i128::from(magnitude(digits, 10)?);
    i32::try_from(if negative { -value } else { value }).map_err(|_| Bad::Range)
}

/// Steps over white space and a sign.
fn sign(text: &[u8]) -> (bool, &[u8]) {
    let space = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
    let start = text.iter().take_while(|b| space(b)).count();
    match &text[start..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

fn starts_with_digit(digits: &[u8], base: u32) -> bool {
    digits
        .first()
        .is_some_and(|&b| char::from(b).is_digit(base))
}

fn magnitude(digits: &[u8], base: u32) -> Result<u64, Bad> {
    if digits.is_empty() {
        return Err(Bad::Syntax);
    }
    let mut value = Some(0u64);
    for &b in digits {
        let digit = char::from(b).to_digit(base).ok_or(Bad::Syntax)?;
        let times = |v: u64| v.checked_mul(u64::from(base));
        value = value
            .and_then(times)
            .and_then(|v| v.checked_add(u64::from(digit)));
    }
    value.ok_or(Bad::Range)
}

/// A size with a one-letter binary unit and at most one decimal: `1023B`, `9.8K`, `16E`.
pub fn human(bytes: u64) -> String {
    const UNITS: [char; 7] = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];
    let unit = if bytes == 0 { 0 } else { bytes.ilog2() / 10 };
    let one = 1u128 << (10 * unit);
    let (mut whole, rest) = (u128::from(bytes) / one, u128::from(bytes) % one);
    let mut tenths = (rest * 1000 / one + 50) / 100;
    if tenths == 10 {
        (whole, tenths) = (whole + 1, 0);
    }
    let letter = UNITS[unit as usize];
    match tenths {
        0 => format!("{whole}{letter}"),
        _ => format!("{whole}.{tenths}{letter}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strtoul_reads_what_c_reads() {
        let cases: [(&[u8], u32, Result<u64, Bad>); 12] = [
            (b"42", 0, Ok(42)),
            (b"0x2a", 0, Ok(42)),
            (b"0X2A", 0, Ok(42)),
            (b"052", 0, Ok(42)),
            (b"0", 0, Ok(0)),
            (b"  +7", 0, Ok(7)),
            (b"-1", 0, Ok(u64::MAX)),
            (b"0x", 0, Err(Bad::Syntax)),
            (b"08", 0, Err(Bad::Syntax)),
            (b"", 10, Err(Bad::Syntax)),
            (b"18446744073709551616", 10, Err(Bad::Range)),
            (b"600 ", 8, Err(Bad::Syntax)),
        ];
        for (text, base, want) in cases {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(strtoul(text, base), want, "{shown:?} in base {base}");
        }
    }

    #[test]
    fn ids_are_signed_32_bit_decimals() {
        assert_eq!(strtos32(b"-2147483648"), Ok(i32::MIN));
        assert_eq!(strtos32(b"2147483648"), Err(Bad::Range));
        assert_eq!(strtos32(b"010"), Ok(10));
        assert_eq!(strtos32(b"0x3"), Err(Bad::Syntax));
    }
}
