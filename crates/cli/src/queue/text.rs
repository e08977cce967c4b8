//! Message bytes as people and programs read them.

use std::fmt::Write;

/// A message as one JSON object, with the fields before its text.
pub fn json(fields: &str, text: &[u8]) -> String {
    let mut out = format!("{{{fields},\"length\":{}", text.len());
    match std::str::from_utf8(text) {
        Ok(text) => {
            out.push_str(",\"text\":\"");
            for c in text.chars() {
                push_json_char(&mut out, c);
            }
        }
        Err(_) => {
            out.push_str(",\"hex\":\"");
            for byte in text {
                let _ = write!(out, "{byte:02x}");
            }
        }
    }
    out.push_str("\"}");
    out
}

fn push_json_char(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        c if c.is_control() => {
            let _ = write!(out, "\\u{:04x}", c as u32);
        }
        c => out.push(c),
    }
}

/// The start of a message in at most `width` columns of printable ASCII, C escapes for the rest.
pub fn preview(text: &[u8], width: usize) -> String {
    let mut shown: Vec<String> = text.iter().take(width + 1).map(|&b| visible(b)).collect();
    let columns = |shown: &[String]| shown.iter().map(String::len).sum::<usize>();
    if columns(&shown) <= width {
        return shown.concat();
    }
    while columns(&shown) + 3 > width && shown.pop().is_some() {}
    shown.concat() + "..."
}

fn visible(byte: u8) -> String {
    match byte {
        0 => "\\0".to_owned(),
        b'"' | b'\'' => char::from(byte).to_string(),
        _ => std::ascii::escape_default(byte).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_escapes_text_and_falls_back_to_hex() {
        assert_eq!(
            json("\"type\":1", b"a\"\\\n\0\xc3\xa4"),
            r#"{"type":1,"length":7,"text":"a\"\\\n\u0000ä"}"#
        );
        assert_eq!(
            json("\"type\":1", b"\xff\x00"),
            r#"{"type":1,"length":2,"hex":"ff00"}"#
        );
    }

    #[test]
    fn preview_shows_bytes_and_stops_at_the_width() {
        assert_eq!(preview(b"hi\0\n\xff", 40), "hi\\0\\n\\xff");
        assert_eq!(preview(b"0123456789", 10), "0123456789");
        assert_eq!(preview(b"0123456789a", 10), "0123456...");
        assert_eq!(preview(b"", 10), "");
    }
}
