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

/// Everything that may be a value is hidden, also what belongs to others: the file may hold their secrets.
fn hide(line: &str, names: &[&str]) -> String {
    let trimmed = line.trim_start();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return line.to_owned();
    }
    match line.split_once(['=', ':']) {
        Some((name, _)) => format!("{name}{}{HIDDEN}", &line[name.len()..=name.len()]),
        None if names.contains(&trimmed) => line.to_owned(),
        None => HIDDEN.to_owned(),
    }
}
