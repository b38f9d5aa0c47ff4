//! Puts spelled values into a text, format by format the same way.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Assignment, Binding, EditError, Edited, Refusal, Syntax, Text, is_legal_name};

/// The text with every assignment in place. Lines are added at the end, with the text's own kind of line ending.
pub(super) fn splice(syntax: &dyn Syntax, text: &[u8], assignments: &[Assignment]) -> Result<Edited, EditError> {
    let bindings = syntax.scan(text).ok_or(EditError::Unclosed)?;
    let by_name = by_name(text, &bindings);
    let (mut edits, mut added) = (Vec::new(), Vec::new());
    let mut edited = Edited::default();
    for assignment in assignments {
        let here = by_name.get(assignment.name.as_bytes()).map_or(&[][..], Vec::as_slice);
        match replacements(syntax, text, assignment, here) {
            Err(reason) => edited.refused.push(Refusal { name: assignment.name.clone(), reason }),
            Ok(replacements) => {
                if here.is_empty() {
                    added.push(replacements.0);
                } else if replacements.1.is_empty() {
                    continue;
                }
                edited.changed.push(assignment.name.clone());
                edits.extend(replacements.1);
            }
        }
    }
    edits.sort_by_key(|(binding, _)| binding.whole.start);
    edited.text = assemble(text, &edits, &added);
    let is_read_back = || is_read_back(syntax, &edited, assignments, bindings.len() + added.len());
    if edited.changed.is_empty() || is_read_back() { Ok(edited) } else { Err(EditError::Unclosed) }
}

/// Whether the new text says what it should, and neither lost nor found other names: a quote that somebody never closed
/// may be closed by one of ours.
fn is_read_back(syntax: &dyn Syntax, edited: &Edited, assignments: &[Assignment], count: usize) -> bool {
    let Some(bindings) = syntax.scan(&edited.text) else { return false };
    let by_name = by_name(&edited.text, &bindings);
    let is_said = |assignment: &Assignment| {
        let Some(here) = by_name.get(assignment.name.as_bytes()) else { return false };
        replacements(syntax, &edited.text, assignment, here).is_ok_and(|(_, changes)| changes.is_empty())
    };
    let changed: HashSet<&String> = edited.changed.iter().collect();
    bindings.len() == count && assignments.iter().filter(|one| changed.contains(&one.name)).all(is_said)
}

fn by_name<'a, 'b>(text: &'a [u8], bindings: &'b [Binding]) -> HashMap<&'a [u8], Vec<&'b Binding>> {
    let mut by_name: HashMap<_, Vec<_>> = HashMap::with_capacity(bindings.len());
    for binding in bindings {
        by_name.entry(&text[binding.name.clone()]).or_default().push(binding);
    }
    by_name
}

/// The values that every reader takes for the same. Of several lines of a name the last counts, as it does to them.
pub(super) fn read(syntax: &dyn Syntax, text: &[u8]) -> Result<BTreeMap<String, String>, EditError> {
    let bindings = syntax.scan(text).ok_or(EditError::Unclosed)?;
    let mut values = BTreeMap::new();
    for binding in &bindings {
        let part = |range: &std::ops::Range<usize>| std::str::from_utf8(&text[range.clone()]).ok();
        let Some(name) = part(&binding.name).filter(|name| is_legal_name(name)) else { continue };
        let value = part(&binding.raw).map(|raw| syntax.unquote(raw));
        let value = value.filter(|value| {
            let assignment = Assignment { name: name.to_owned(), value: Text::Plain(value.clone()) };
            replacements(syntax, text, &assignment, &[binding]).is_ok_and(|(_, changes)| changes.is_empty())
        });
        match value {
            Some(value) => values.insert(name.to_owned(), value),
            None => values.remove(name),
        };
    }
    Ok(values)
}

type Replacements<'a> = (String, Vec<(&'a Binding, String)>);

/// The line to add where there is none yet, and what becomes of each line that does not say the value.
fn replacements<'a>(
    syntax: &dyn Syntax,
    text: &[u8],
    Assignment { name, value }: &Assignment,
    bindings: &[&'a Binding],
) -> Result<Replacements<'a>, &'static str> {
    let line = format!("{}{name}={}", syntax.keyword(), syntax.spell(value, false)?);
    let mut changes = Vec::new();
    for binding in bindings {
        let spelled = syntax.spell(value, binding.comment)?;
        let raw = std::str::from_utf8(&text[binding.raw.clone()]);
        let is_said =
            raw.is_ok_and(|raw| raw == spelled || syntax.says(raw, binding.comment, value.as_str())) && binding.sound;
        if !is_said {
            let gap = if binding.comment { " " } else { "" };
            changes.push((*binding, format!("{name}={spelled}{gap}")));
        }
    }
    Ok((line, changes))
}

fn assemble(text: &[u8], edits: &[(&Binding, String)], added: &[String]) -> Vec<u8> {
    let (mut result, mut from) = (Vec::with_capacity(text.len() + 64), 0);
    for (binding, replacement) in edits {
        result.extend_from_slice(&text[from..binding.whole.start]);
        result.extend_from_slice(replacement.as_bytes());
        from = binding.whole.end;
    }
    result.extend_from_slice(&text[from..]);
    let newline = newline(text);
    if !added.is_empty() && !result.is_empty() && !matches!(result.last(), Some(b'\n' | b'\r')) {
        result.extend_from_slice(newline);
    }
    for line in added {
        result.extend_from_slice(line.as_bytes());
        result.extend_from_slice(newline);
    }
    result
}

/// The ending of the text's first line.
fn newline(text: &[u8]) -> &'static [u8] {
    let end = text.iter().position(|byte| *byte == b'\n');
    match end {
        Some(end) if end > 0 && text[end - 1] == b'\r' => b"\r\n",
        _ => b"\n",
    }
}
