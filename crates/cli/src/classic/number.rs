//! Numbers as `strtoul(3)` reads them, sizes as `ipcmk -M` reads and `--human` shows them.

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
    let (base, digits) = radix(digits, base);
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

/// A size: bytes, or a number with a unit, which may have a fraction (`1.5K`).
pub fn size(text: &[u8]) -> Result<u64, Bad> {
    let (negative, digits) = sign(text);
    if negative {
        return Err(Bad::Syntax);
    }
    let (base, digits) = radix(digits, 0);
    let (whole, rest) = split_digits(digits, base);
    let whole = magnitude(whole, base)?;
    if rest.is_empty() {
        return Ok(whole);
    }
    let (decimals, suffix) = match rest {
        [b'.', rest @ ..] => split_digits(rest, 10),
        _ => (&[][..], rest),
    };
    let unit = unit(suffix)?;
    let size = u128::from(whole).checked_mul(unit).ok_or(Bad::Range)?;
    let size = size.checked_add(fraction(decimals, unit)?);
    size.and_then(|size| u64::try_from(size).ok())
        .ok_or(Bad::Range)
}

/// `K` and `KiB` are 1024, `KB` is 1000.
fn unit(suffix: &[u8]) -> Result<u128, Bad> {
    let (letter, base) = match suffix {
        [letter] | [letter, b'i', b'b' | b'B'] => (letter, 1024u128),
        [letter, b'b' | b'B'] => (letter, 1000),
        _ => return Err(Bad::Syntax),
    };
    let letters = b"KMGTPEZY".iter();
    let power = letters
        .zip(1..)
        .find(|(unit, _)| unit.eq_ignore_ascii_case(letter));
    power.map_or(Err(Bad::Syntax), |(_, power)| Ok(base.pow(power)))
}

/// What the digits after the point stand for, as util-linux computes it: it divides, in integers,
/// the place of each digit by the digit, and the unit by that. `.5K` and `.25K` are (nearly) what
/// one thinks, but `.7K` is 1024, as 10 / 7 is 1.
fn fraction(decimals: &[u8], unit: u128) -> Result<u128, Bad> {
    let zeros = decimals.iter().take_while(|&&b| b == b'0').count();
    let digits = &decimals[zeros..];
    // A byte is more than that of the largest unit that 64 bits can hold.
    if digits.is_empty() || zeros > 18 {
        return Ok(0);
    }
    let value = u128::from(magnitude(digits, 10)?);
    let mut place = 10u128;
    while place < value {
        place *= 10;
    }
    place *= 10u128.pow(zeros as u32);
    let mut sum = 0;
    for digit in digits.iter().rev().map(|b| u128::from(b - b'0')) {
        let divisor = place.checked_div(digit).unwrap_or(0);
        sum += unit.checked_div(divisor).unwrap_or(0);
        place /= 10;
    }
    Ok(sum)
}

/// Steps over `0x` or `0` where the base is 0, or `0x` in base 16; the base is then known.
fn radix(digits: &[u8], base: u32) -> (u32, &[u8]) {
    match (base, digits) {
        (0 | 16, [b'0', b'x' | b'X', rest @ ..]) if starts_with_digit(rest, 16) => (16, rest),
        (0, [b'0', ..]) => (8, digits),
        (0, _) => (10, digits),
        _ => (base, digits),
    }
}

fn split_digits(text: &[u8], base: u32) -> (&[u8], &[u8]) {
    let digit = |b: &&u8| char::from(**b).is_digit(base);
    text.split_at(text.iter().take_while(digit).count())
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

    #[test]
    fn sizes_have_units_and_fractions() {
        let cases: [(&[u8], Result<u64, Bad>); 12] = [
            (b"4096", Ok(4096)),
            (b" 0x10k", Ok(16 << 10)),
            (b"3kB", Ok(3000)),
            (b"3MiB", Ok(3 << 20)),
            (b"15E", Ok(15 << 60)),
            (b"1.5K", Ok(1536)),
            (b"1.05k", Ok(1075)),
            (b"1.7K", Ok(2048)),
            (b"1.5", Err(Bad::Syntax)),
            (b"-1", Err(Bad::Syntax)),
            (b"5B", Err(Bad::Syntax)),
            (b"16E", Err(Bad::Range)),
        ];
        for (text, want) in cases {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(size(text), want, "{shown:?}");
        }
    }
}
