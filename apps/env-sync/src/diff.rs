//! What a dry run shows: the lines that would go and come, their values hidden unless asked for. Pure.

use std::fmt::Write;

use crate::edit::{Assignment, Edited};

const HIDDEN: &str = "…";

/// The difference in the manner of `diff`, nothing where there is none.
pub fn render(name: &str, old: &[u8], edited: &Edited, assignments: &[Assignment], show_values: bool) -> String {
    // Writing into a string cannot fail.
    let mut text = String::new();
    if edited.changed.is_empty() {
        return text;
    }
    let _ = writeln!(text, "--- {name}\n+++ {name}");
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(&edited.text));
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    // Lines are edited in their places or added at the end, so what is the same at both ends is the frame.
    let top = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - top;
    let bottom = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let names: Vec<&str> = assignments.iter().map(|assignment| assignment.name.as_str()).collect();
    for (sign, lines) in [('-', &old[top..old.len() - bottom]), ('+', &new[top..new.len() - bottom])] {
        for line in lines {
            let line = if show_values { (*line).to_owned() } else { hide(line, &names) };
            let _ = writeln!(text, "{sign}{line}");
        }
    }
    text
}

/// Only the names of what is managed are shown. All else may be a value, or a part of one, and the file may hold the
/// secrets of others.
fn hide(line: &str, names: &[&str]) -> String {
    let is_managed = |head: &str| {
        let name = head.trim().strip_prefix("export ").unwrap_or(head).trim();
        names.contains(&name.trim_matches(['"', '\'']))
    };
    let end = line.find(['=', ':']).filter(|end| is_managed(&line[..*end]));
    end.map_or_else(|| HIDDEN.to_owned(), |end| format!("{}{HIDDEN}", &line[..=end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{Format, Text, edit};

    fn difference(format: Format, file: &str, value: &str, show_values: bool) -> String {
        let assignments =
            ["A", "B"].map(|name| Assignment { name: name.to_owned(), value: Text::Plain(value.to_owned()) });
        let edited = edit(format, file.as_bytes(), &assignments).unwrap();
        render("f", file.as_bytes(), &edited, &assignments, show_values)
    }

    #[test]
    fn no_part_of_any_value_is_shown_unasked() {
        let file = "export A='old\nQUJD=='\nTHEIRS=hush\n# PASSWORD=hush\nB=old\n";
        assert_eq!(
            difference(Format::Dotenv, file, "v", false),
            "--- f\n+++ f\n-export A=…\n-…\n-…\n-…\n-B=…\n+export A=…\n+…\n+…\n+B=…\n"
        );
        assert_eq!(
            difference(Format::Json, "{\"A\": \"x\"}", "v", false),
            "--- f\n+++ f\n-…\n+…\n+  \"A\":…\n+  \"B\":…\n+…\n"
        );
    }

    #[test]
    fn values_are_shown_where_asked_and_nothing_where_nothing_differs() {
        assert_eq!(difference(Format::Dotenv, "X=1\nA=v\n", "v", true), "--- f\n+++ f\n+B=v\n");
        assert_eq!(difference(Format::Dotenv, "A=v\nB=v\n", "v", true), "");
    }
}
