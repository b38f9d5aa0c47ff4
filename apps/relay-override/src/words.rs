//! Words of a line, as a shell would split it, without a shell.
//!
//! A journal is a folder that others can write to, so a line is data: quotes and backslashes are
//! understood, and whatever would make a shell do more than split words is refused, never skipped.

use std::borrow::Cow;

use thiserror::Error;

/// Why a line is not a list of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WordsError {
    /// A character that a shell would act upon, outside of quotes.
    #[error("{0:?} stands outside of quotes; only plain words are read, nothing is run")]
    Active(char),
    /// A quote that nothing closes, or a backslash at the end.
    #[error("a quote is not closed")]
    Open,
}

/// Splits `line` into words.
///
/// # Errors
/// Where a quote stays open, or a shell would do more than split.
pub fn split(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(letter) = rest.next() {
        match letter {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => until(&mut rest, '\'', word.get_or_insert_default())?,
            '"' => until_double(&mut rest, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(printable(rest.next().ok_or(WordsError::Open)?)?),
            _ if is_plain(letter) => word.get_or_insert_default().push(letter),
            _ => return Err(WordsError::Active(letter)),
        }
    }
    words.extend(word);
    Ok(words)
}

/// `word` as [`split`] and a shell read it back.
pub fn quote(word: &str) -> Cow<'_, str> {
    if !word.is_empty() && word.chars().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

fn is_plain(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | ':' | '/' | '=' | ',' | '@' | '%' | '+')
}

fn printable(letter: char) -> Result<char, WordsError> {
    if letter.is_control() { Err(WordsError::Active(letter)) } else { Ok(letter) }
}

fn until(rest: &mut std::str::Chars<'_>, end: char, word: &mut String) -> Result<(), WordsError> {
    loop {
        match rest.next().ok_or(WordsError::Open)? {
            letter if letter == end => return Ok(()),
            letter => word.push(printable(letter)?),
        }
    }
}

fn until_double(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), WordsError> {
    loop {
        match rest.next().ok_or(WordsError::Open)? {
            '"' => return Ok(()),
            active @ ('$' | '`') => return Err(WordsError::Active(active)),
            '\\' => match rest.next().ok_or(WordsError::Open)? {
                escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                other => word.extend(['\\', printable(other)?]),
            },
            letter => word.push(printable(letter)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_a_shell_would() {
        for (line, expected) in [
            ("", &[][..]),
            ("rc  -p\tp ", &["rc", "-p", "p"]),
            (r#"'a b' "c d" e\ f"#, &["a b", "c d", "e f"]),
            (r#"a'b'"c" '' "\"\\\x""#, &["abc", "", r#""\\x"#]),
        ] {
            assert_eq!(split(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn what_a_shell_would_act_upon_is_refused() {
        for (line, expected) in [
            ("rc; rm -rf /", WordsError::Active(';')),
            ("rc $(id)", WordsError::Active('$')),
            ("rc \"$(id)\"", WordsError::Active('$')),
            ("rc \"`id`\"", WordsError::Active('`')),
            ("rc `id`", WordsError::Active('`')),
            ("rc | sh", WordsError::Active('|')),
            ("rc > /etc/passwd", WordsError::Active('>')),
            ("rc & id", WordsError::Active('&')),
            ("rc *", WordsError::Active('*')),
            ("rc\nid", WordsError::Active('\n')),
            ("rc 'a\nb'", WordsError::Active('\n')),
            ("rc # x", WordsError::Active('#')),
            ("rc 'x", WordsError::Open),
            ("rc \"x", WordsError::Open),
            ("rc \\", WordsError::Open),
        ] {
            assert_eq!(split(line).unwrap_err(), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_word_is_read_back(words in prop::collection::vec("[^\\pC\\u{2028}\\u{2029}]{0,12}", 0..6)) {
            let line = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split(&line).unwrap(), words);
        }

        #[test]
        fn no_line_makes_it_fall_over(line in any::<String>()) {
            let _ = split(&line);
        }
    }
}
