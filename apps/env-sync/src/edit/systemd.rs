//! systemd's `EnvironmentFile=`.
//!
//! The rules are those of systemd.exec(5): comments begin with `#` or `;`, a value may be quoted as in a shell and span
//! lines in quotes, a bare one keeps its inner blanks, and a backslash outside single quotes escapes. Values with
//! backslashes go into double quotes: older versions took escapes in single quotes too.

use super::{Binding, Syntax, Text};

/// The format.
pub(crate) struct Systemd;

impl Syntax for Systemd {
    fn scan(&self, text: &[u8]) -> Option<Vec<Binding>> {
        let mut bindings = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let start = at + text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let name_end = start + text[start..].iter().take_while(|byte| !b"=\n\r#;".contains(byte)).count();
            at = name_end;
            if text.get(name_end) == Some(&b'=') {
                let name = start..start + text[start..name_end].trim_ascii_end().len();
                let end = value_end(text, name_end + 1)?;
                let value = &text[name_end + 1..end];
                let raw_start = name_end + 1 + (value.len() - value.trim_ascii_start().len());
                let raw_end = (name_end + 1 + value.trim_ascii_end().len()).max(raw_start);
                let raw = raw_start..raw_end;
                bindings.push(Binding { name, whole: start..raw_end, raw, comment: false, sound: true });
                at = end;
            }
            at += text[at..].iter().take_while(|byte| **byte != b'\n').count() + 1;
        }
        Some(bindings)
    }

    fn says(&self, raw: &str, _: bool, value: &str) -> bool {
        let inner = |quote| raw.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        let is_harmless = !value.contains(['\\', '\'', '"', '$', '`']);
        is_harmless && ['\'', '"'].into_iter().any(|quote| inner(quote) == Some(value))
    }

    fn unquote(&self, raw: &str) -> String {
        if let Some(inner) = raw.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            return inner.to_owned();
        }
        let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return raw.to_owned() };
        let (mut value, mut characters) = (String::with_capacity(inner.len()), inner.chars());
        while let Some(character) = characters.next() {
            value.extend(if character == '\\' { characters.next() } else { Some(character) });
        }
        value
    }

    fn spell(&self, value: &Text, _: bool) -> Result<String, &'static str> {
        let value = value.as_str();
        if value.contains('\0') {
            return Err("it has a NUL character, which no environment can hold");
        }
        if value.chars().any(|character| character == '\u{feff}' || is_noncharacter(character)) {
            return Err("it has a character that systemd refuses (a byte order mark or a Unicode noncharacter)");
        }
        if value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@%+,=".contains(&byte)) {
            return Ok(value.to_owned());
        }
        if !value.contains(['\'', '\\']) {
            return Ok(format!("'{value}'"));
        }
        let mut spelled = String::from("\"");
        for character in value.chars() {
            if matches!(character, '"' | '\\' | '`' | '$') {
                spelled.push('\\');
            }
            spelled.push(character);
        }
        Ok(spelled + "\"")
    }
}

fn is_noncharacter(character: char) -> bool {
    let code = u32::from(character);
    (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// Where a value ends: at the newline that is neither quoted nor escaped. Nothing where it does not end.
fn value_end(text: &[u8], from: usize) -> Option<usize> {
    let (mut at, mut quote, mut is_start) = (from, None, true);
    while let Some(byte) = text.get(at) {
        match (byte, quote) {
            (b'\n', None) => return Some(at),
            (b'\\', None | Some(b'"')) => at += 1,
            (b'\'' | b'"', None) if is_start => quote = Some(*byte),
            (byte, Some(open)) if *byte == open => quote = None,
            _ => {}
        }
        is_start &= byte.is_ascii_whitespace();
        at += 1;
    }
    (at == text.len() && quote.is_none()).then_some(at)
}
