//! `docker run --env-file`: everything after the first `=` is the value, to the last blank.
//!
//! As `docker/cli` reads it (`pkg/kvfile`): lines that begin with `#` are comments, a name alone takes its value from
//! docker's own environment, and nothing is ever quoted. So a value of several lines cannot be held.

use super::{Binding, Syntax, Text};

/// The format.
pub(crate) struct Docker;

impl Syntax for Docker {
    fn scan(&self, text: &[u8]) -> Option<Vec<Binding>> {
        let mut start = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let mut bindings = Vec::new();
        for line in text[start..].split_inclusive(|byte| *byte == b'\n') {
            bindings.extend(binding(line, start));
            start += line.len();
        }
        Some(bindings)
    }

    fn says(&self, _: &str, _: bool, _: &str) -> bool {
        false
    }

    fn unquote(&self, raw: &str) -> String {
        raw.to_owned()
    }

    fn spell(&self, value: &Text, _: bool) -> Result<String, &'static str> {
        if value.as_str().contains('\0') {
            return Err("it has a NUL character, which no environment can hold");
        }
        if value.as_str().contains(['\n', '\r']) {
            return Err("it has several lines, which docker's --env-file cannot hold");
        }
        Ok(value.as_str().to_owned())
    }
}

fn binding(line: &[u8], offset: usize) -> Option<Binding> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let start = line.len() - line.trim_ascii_start().len();
    if line.get(start).is_none_or(|first| *first == b'#') {
        return None;
    }
    let equals = line.iter().position(|byte| *byte == b'=');
    let name = start..equals.unwrap_or(line.len());
    let raw = equals.map_or(line.len(), |equals| equals + 1)..line.len();
    let shift = |range: std::ops::Range<usize>| range.start + offset..range.end + offset;
    Some(Binding {
        whole: shift(start..line.len()),
        name: shift(name),
        raw: shift(raw),
        comment: false,
        sound: equals.is_some(),
    })
}
