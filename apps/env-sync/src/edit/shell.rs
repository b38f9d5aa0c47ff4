//! Files that a POSIX shell sources.
//!
//! A value is one word: pieces in single quotes, in double quotes and bare, side by side (POSIX.1-2024, XCU 2.2). Every
//! string but one with a NUL can be spelled. Only `NAME=word` and `export NAME=word` at the beginning of a line are
//! taken for assignments; all else is left alone, here-documents included as long as they hold no such line.

use super::{Binding, Syntax, Text};

/// The format.
pub(crate) struct Shell;

impl Syntax for Shell {
    fn scan(&self, text: &[u8]) -> Option<Vec<Binding>> {
        let mut bindings = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let start = skip_export(text, skip_blanks(text, at));
            let name_end = start + text[start..].iter().take_while(|byte| is_name(**byte)).count();
            at = start;
            if name_end > start && text.get(name_end) == Some(&b'=') {
                let raw = name_end + 1..word_end(text, name_end + 1);
                at = raw.end;
                bindings.push(Binding {
                    name: start..name_end,
                    whole: start..raw.end,
                    raw,
                    comment: false,
                    sound: true,
                });
            }
            at = line_end(text, at);
        }
        (at == text.len()).then_some(bindings)
    }

    fn says(&self, raw: &str, _: bool, value: &str) -> bool {
        let quoted = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        quoted.is_some_and(|inner| inner == value && !inner.contains(['\\', '"', '$', '`']))
            || raw.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).is_some_and(|inner| inner == value)
                && !value.contains('\'')
    }

    fn unquote(&self, raw: &str) -> String {
        if let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            return inner.to_owned();
        }
        let inner = raw.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        inner.map_or_else(|| raw.to_owned(), |inner| inner.replace(r"'\''", "'"))
    }

    fn spell(&self, value: &Text, _: bool) -> Result<String, &'static str> {
        let value = value.as_str();
        if value.contains('\0') {
            return Err("it has a NUL character, which no environment can hold");
        }
        if value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@%+,=".contains(&byte)) {
            return Ok(value.to_owned());
        }
        Ok(format!("'{}'", value.replace('\'', r"'\''")))
    }

    fn keyword(&self) -> &'static str {
        "export "
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn skip_blanks(text: &[u8], from: usize) -> usize {
    from + text[from..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

fn skip_export(text: &[u8], from: usize) -> usize {
    let after = skip_blanks(text, (from + 6).min(text.len()));
    if text[from..].starts_with(b"export") && after > from + 6 { after } else { from }
}

/// Where a word ends: before an unquoted blank, newline or operator.
fn word_end(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = text.get(at) {
        if byte.is_ascii_whitespace() || b";&|<>()".contains(byte) {
            return at;
        }
        at = piece_end(text, at);
    }
    at
}

/// Where a line of commands ends, behind its newline: quotes may span lines, comments may hold quotes.
fn line_end(text: &[u8], from: usize) -> usize {
    let (mut at, mut is_word_start) = (from, true);
    while let Some(byte) = text.get(at) {
        match byte {
            b'\n' => return at + 1,
            b'#' if is_word_start => {
                at += text[at..].iter().take_while(|byte| **byte != b'\n').count();
                continue;
            }
            _ => {}
        }
        is_word_start = byte.is_ascii_whitespace() || b";&|<>()".contains(byte);
        at = piece_end(text, at);
    }
    at
}

/// Behind a quoted piece, an escaped character or a bare one; behind the text where it does not end.
fn piece_end(text: &[u8], at: usize) -> usize {
    match text[at] {
        b'\'' => text[at + 1..].iter().position(|byte| *byte == b'\'').map_or(text.len() + 1, |end| at + end + 2),
        b'"' => {
            let mut end = at + 1;
            while text.get(end).is_some_and(|byte| *byte != b'"') {
                end += if text[end] == b'\\' { 2 } else { 1 };
            }
            end + 1
        }
        b'\\' => at + 2,
        _ => at + 1,
    }
}
