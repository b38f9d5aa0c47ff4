//! A `.env` file's text as names and values. Pure.
//!
//! The file is often another program's as well, and `rc` is needed when everything else is down: so whatever python-dotenv
//! reads is read here, and as it reads it. A value without quotes goes to the end of its line, or to a ` #`, with all its
//! blanks, quotes, backslashes and `$`; only `${NAME}` is replaced. No library for Rust does: `dotenvy` refuses the whole
//! file for `APP_NAME=My App`, and takes `$b` out of a password `a$b`.

/// A line that is no assignment, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongLine(pub(crate) usize);

/// Names and values in the file's order; a name alone sets nothing. `outer` has the variables that `${NAME}` means before
/// those of the file.
pub(crate) fn pairs(text: &str, outer: impl Fn(&str) -> Option<String>) -> Result<Vec<(String, String)>, WrongLine> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while !rest.is_empty() {
        let number = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let (assignment, after) = statement(rest).ok_or(WrongLine(number))?;
        if let Some((name, value)) = assignment {
            let in_file = |name: &str| pairs.iter().rev().find(|pair| pair.0 == name).map(|pair| pair.1.clone());
            let value = match value {
                Value::Literal(value) => value,
                Value::Open(value) => expanded(&value, |name| outer(name).or_else(|| in_file(name))),
            };
            pairs.push((name.to_owned(), value));
        }
        rest = after.trim_start();
    }
    Ok(pairs)
}

enum Value {
    /// In single quotes, in which nothing is replaced.
    Literal(String),
    Open(String),
}

/// What one statement sets, if anything, and what follows it; nothing where it is none.
fn statement(text: &str) -> Option<(Option<(&str, Value)>, &str)> {
    let exported = text.strip_prefix("export").filter(|after| after.starts_with([' ', '\t']));
    let text = exported.map_or(text, skip_blanks);
    let (name, after) =
        text.split_at(text.find(|c: char| c == '=' || c == '#' || c.is_whitespace()).unwrap_or(text.len()));
    let after = skip_blanks(after);
    let Some(value) = after.strip_prefix('=') else { return Some((None, end_of_line(after)?)) };
    let value = skip_blanks(value);
    let (value, after) = match value.chars().next() {
        Some(quote @ ('\'' | '"')) => {
            let (value, after) = quoted(&value[1..], quote)?;
            (value, end_of_line(skip_blanks(after))?)
        }
        _ => unquoted(value),
    };
    (!name.is_empty()).then_some((Some((name, value)), after))
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// What follows this line, where nothing but a comment is left of it.
fn end_of_line(text: &str) -> Option<&str> {
    let is_over = text.is_empty() || text.starts_with(['#', '\n', '\r']);
    is_over.then(|| &text[text.find(['\n', '\r']).unwrap_or(text.len())..])
}

/// The value up to the closing quote, and what follows that; nothing where there is none.
fn quoted(text: &str, quote: char) -> Option<(Value, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        if char == quote {
            let value = if quote == '\'' { Value::Literal(value) } else { Value::Open(value) };
            return Some((value, &text[at + 1..]));
        }
        if char != '\\' {
            value.push(char);
            continue;
        }
        let (_, escaped) = chars.next()?;
        match (quote, escaped) {
            (_, '\\') => value.push('\\'),
            (_, _) if escaped == quote => value.push(escaped),
            ('"', '\'' | '$' | '`') => value.push(escaped),
            ('"', 'n') => value.push('\n'),
            ('"', 'r') => value.push('\r'),
            ('"', 't') => value.push('\t'),
            _ => value.extend(['\\', escaped]),
        }
    }
    None
}

fn unquoted(text: &str) -> (Value, &str) {
    let (line, after) = text.split_at(text.find(['\n', '\r']).unwrap_or(text.len()));
    let comment = line.match_indices('#').find(|(at, _)| line[..*at].ends_with([' ', '\t']));
    let value = comment.map_or(line, |(at, _)| &line[..at]).trim_end();
    (Value::Open(value.to_owned()), after)
}

/// With `${NAME}` and `${NAME:-DEFAULT}` replaced; a name without a value is empty.
fn expanded(text: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let (mut whole, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${")
        && let Some((reference, behind)) = after.split_once('}')
    {
        let (name, default) = reference.split_once(":-").unwrap_or((reference, ""));
        whole.push_str(before);
        whole.push_str(&variable(name).unwrap_or_else(|| default.to_owned()));
        rest = behind;
    }
    whole + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, usize> {
        pairs(text, |name| (name == "OUTER").then(|| "out".to_owned())).map_err(|WrongLine(number)| number)
    }

    #[test]
    fn values_are_those_that_python_dotenv_reads() {
        for (line, expected) in [
            ("A=1", "1"),
            ("\u{feff}A=1", "1"),
            ("export A = b # c", "b"),
            ("A=", ""),
            ("A=My App", "My App"),
            ("A=redis-a:6379, redis-b:6379", "redis-a:6379, redis-b:6379"),
            ("A=it's", "it's"),
            ("A=pa$$word\\x$b", "pa$$word\\x$b"),
            (r#"A={"a": 1}"#, r#"{"a": 1}"#),
            ("A=a#b", "a#b"),
            ("A=#b", "#b"),
            ("A='it\\'s $b ${OUTER}' # c", "it's $b ${OUTER}"),
            ("A=\"two\nlines\\n\\\"q\\\" \\$b\"", "two\nlines\n\"q\" $b"),
            ("A=${OUTER}/${NONE}/${NONE:-d}/${", "out//d/${"),
            ("A=\"${OUTER}\"", "out"),
            ("A=1\rB=2", "1"),
        ] {
            let first = read(line).unwrap().swap_remove(0);
            assert_eq!(first, ("A".to_owned(), expected.to_owned()), "{line:?}");
        }
    }

    #[test]
    fn lines_of_others_do_no_harm_and_lines_that_are_none_are_counted() {
        let text = "# comment\r\n\r\nmy-key.x=1\r\nALONE\r\nexport ALONE # too\r\nexport=2\r\nLAST=${my-key.x}";
        let expected = [("my-key.x", "1"), ("export", "2"), ("LAST", "1")];
        assert_eq!(read(text).unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for (text, number) in
            [("A=1\nB=\"open\nC=1\n", 2), ("A=1\n\nnot an assignment\n", 3), ("=1", 1), ("A='b'c", 1), ("A='\\", 1)]
        {
            assert_eq!(read(text), Err(number), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_quoted_is_read_back(value in "\\PC*") {
            let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
            prop_assert_eq!(read(&format!("B=1\nA='{quoted}'\nC=2")).unwrap().swap_remove(1).1, value);
        }

        #[test]
        fn nothing_panics(text in "(?s).{0,80}") {
            let _ = read(&text);
        }
    }
}
