//! `.env` files as python-dotenv, Node's dotenv, docker compose and `sh` read them.
//!
//! Where an assignment begins and ends is python-dotenv's grammar (`python-dotenv` 1.2, `parser.py`), whose `set_key` is
//! the model. How a value is spelled is what is left when all four readers must read the same string back; they differ
//! in nearly everything:
//!
//! - python-dotenv replaces `${…}` even in single quotes, where it also takes `\\` and `\'` for escapes, and reads a
//!   carriage return as a line feed;
//! - Node's dotenv takes a backslash before the quote for part of the value, and `\n` and `\r` in double quotes alone;
//! - docker compose (`compose-go/dotenv`) replaces `$…` outside single quotes and knows C's escapes in double ones;
//! - `sh` has no escapes in single quotes, and runs what stands in double ones.

use super::{Binding, Syntax, Text};

/// The format.
pub(crate) struct Dotenv;

impl Syntax for Dotenv {
    fn scan(&self, text: &[u8]) -> Option<Vec<Binding>> {
        Some(Scan { text, at: if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 } }.bindings())
    }

    fn says(&self, raw: &str, comment: bool, value: &str) -> bool {
        let Some(quote) = raw.chars().next().filter(|first| matches!(first, '\'' | '"')) else {
            return raw == value && !comment && is_plain(raw);
        };
        let inner = raw.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        inner.is_some_and(|inner| {
            inner == value && !inner.contains(['\\', '\'', '"', '$', '`', '\r', '\0']) && raw.len() > 1
        })
    }

    fn unquote(&self, raw: &str) -> String {
        let inner = |quote| raw.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        inner('\'').or_else(|| inner('"')).unwrap_or(raw).to_owned()
    }

    fn spell(&self, value: &Text, comment: bool) -> Result<String, &'static str> {
        match value {
            Text::Plain(value) => spell(value, comment),
            Text::Json(value) => spell(&harmless_json(value), comment),
        }
    }
}

fn spell(value: &str, comment: bool) -> Result<String, &'static str> {
    if is_plain(value) && !comment {
        return Ok(value.to_owned());
    }
    if value.contains('\0') {
        return Err("it has a NUL character, which no environment can hold");
    }
    if value.contains('\r') {
        return Err("it has a carriage return, which python-dotenv reads as a line feed");
    }
    if is_interpolated(value) {
        return Err("it has `${…}`, which python-dotenv replaces however it is quoted");
    }
    if is_literal_in_single_quotes(value) {
        return Ok(format!("'{value}'"));
    }
    if is_literal_in_double_quotes(value) {
        return Ok(format!("\"{value}\""));
    }
    Err("python-dotenv, Node's dotenv, docker compose and sh have no spelling of it in common \
         (quotes, backslashes, `$` or backquotes together)")
}

/// Whether every reader takes the bare text for what it is. A `~` would be a home directory to `sh`.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@%+,=".contains(&byte))
}

/// Whether python-dotenv sees a variable in it: `${`, anything but `}` and `:`, perhaps `:-` and a default, `}`.
fn is_interpolated(value: &str) -> bool {
    value.match_indices("${").any(|(start, _)| {
        let rest = &value[start + 2..];
        let end = rest.find(['}', ':']).unwrap_or(rest.len());
        rest[end..].starts_with('}') || (rest[end..].starts_with(":-") && rest[end..].contains('}'))
    })
}

fn is_literal_in_single_quotes(value: &str) -> bool {
    !value.contains('\'') && !value.contains("\\\\") && !value.ends_with('\\')
}

/// A backslash may stand in double quotes only before what is an escape to no reader.
fn is_literal_in_double_quotes(value: &str) -> bool {
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.peek();
        let is_escape = next.is_none_or(|next| "abcfnrtv$\"'\\`\n".contains(*next) || next.is_ascii_digit());
        if matches!(character, '"' | '$' | '`') || (character == '\\' && is_escape) {
            return false;
        }
    }
    true
}

/// The same JSON without what cannot be in single quotes. In compact JSON these characters stand in strings alone.
fn harmless_json(json: &str) -> String {
    let mut result = String::with_capacity(json.len());
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some('\\')) => {
                characters.next();
                result.push_str("\\u005c");
            }
            ('\\', Some(_)) => {
                result.push('\\');
                result.extend(characters.next());
            }
            ('\'', _) => result.push_str("\\u0027"),
            ('$', Some('{')) => result.push_str("\\u0024"),
            (other, _) => result.push(other),
        }
    }
    result
}

/// Reads a text as python-dotenv does.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn bindings(mut self) -> Vec<Binding> {
        let mut bindings = Vec::new();
        loop {
            self.skip(|byte| byte.is_ascii_whitespace() || byte == 0x0b);
            if self.at == self.text.len() {
                return bindings;
            }
            bindings.extend(self.binding());
            // After an assignment this is where it ends; what is none goes on to the end of its line.
            self.skip(|byte| !is_newline(byte));
        }
    }

    /// An assignment, or nothing where the line is a comment or no line of a `.env` file.
    fn binding(&mut self) -> Option<Binding> {
        self.skip_export();
        let start = self.at;
        let name = self.name()?;
        let name_end = self.at;
        self.skip_blanks();
        let mut raw = name_end..name_end;
        let mut sound = start == name.start;
        if self.peek() == Some(b'=') {
            sound &= self.at == name_end;
            self.at += 1;
            let after = self.at;
            self.skip_blanks();
            sound &= self.at == after || self.is_at_end_of_line();
            // To python-dotenv this comment would be a value. It is kept for what its writer meant.
            let is_comment = self.peek() == Some(b'#') && self.at > after;
            raw = if is_comment || self.is_at_end_of_line() { after..after } else { self.value()? };
        } else {
            sound = false;
        }
        self.at = raw.end.max(name_end);
        self.skip_blanks();
        let comment = self.peek() == Some(b'#');
        let end = if comment { self.at } else { raw.end };
        self.skip(|byte| comment && !is_newline(byte));
        self.is_at_end_of_line().then_some(Binding { name, whole: start..end, raw, comment, sound })
    }

    fn name(&mut self) -> Option<std::ops::Range<usize>> {
        let start = self.at;
        if self.peek() == Some(b'\'') {
            let length = self.text[start + 1..].iter().position(|byte| *byte == b'\'').filter(|length| *length > 0)?;
            self.at = start + length + 2;
            return Some(start + 1..start + 1 + length);
        }
        self.skip(|byte| !matches!(byte, b'=' | b'#') && !byte.is_ascii_whitespace() && byte != 0x0b);
        (self.at > start).then_some(start..self.at)
    }

    /// The value's place, quotes included; nothing where a quote is not closed.
    fn value(&mut self) -> Option<std::ops::Range<usize>> {
        let start = self.at;
        let Some(quote @ (b'\'' | b'"')) = self.peek() else {
            self.skip(|byte| !is_newline(byte));
            let line = &self.text[start..self.at];
            let comment = (1..line.len()).find(|at| line[*at] == b'#' && line[at - 1].is_ascii_whitespace());
            let value = line[..comment.unwrap_or(line.len())].trim_ascii_end();
            return Some(start..start + value.len());
        };
        let mut end = start + 1;
        loop {
            // A quote that is not closed spoils its line alone.
            let byte = *self.text.get(end)?;
            end += if byte == b'\\' { 2 } else { 1 };
            if byte == quote {
                return Some(start..end);
            }
        }
    }

    fn skip_export(&mut self) {
        let rest = &self.text[self.at..];
        if rest.starts_with(b"export") && rest.get(6).is_some_and(|byte| is_blank(*byte)) {
            self.at += 6;
            self.skip_blanks();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn is_at_end_of_line(&self) -> bool {
        self.peek().is_none_or(is_newline)
    }

    fn skip_blanks(&mut self) {
        self.skip(is_blank);
    }

    fn skip(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
    }
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}
