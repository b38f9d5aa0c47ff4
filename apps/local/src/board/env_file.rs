//! A `.env` file as programs read it: every line that is one, whatever stands in the others.

use super::places::{Held, Seen, Sight};
use std::path::Path;

/// Looks at every variable; those that are named like a flag are its value.
pub(super) fn look(file: &Path) -> Seen {
    let lines = dotenvy::from_path_iter(file).map_err(|error| match error {
        dotenvy::Error::Io(error) if error.kind() == std::io::ErrorKind::NotFound => "not written yet".to_owned(),
        error => error.to_string(),
    })?;
    let held = lines.flatten().map(|(key, text)| (key, Held { text, note: String::new(), version: None }));
    let flags: std::collections::BTreeMap<_, _> = held.collect();
    Ok(Sight {
        fact: if flags.len() == 1 { "1 variable".to_owned() } else { format!("{} variables", flags.len()) },
        detail: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_variables_hide_none_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".env");
        assert_eq!(look(&file), Err("not written yet".to_owned()));

        std::fs::write(&file, "# note\nA=1\nwhat is this?\nexport B=\"two words\"\nC=\n").unwrap();
        let sight = look(&file).unwrap();

        let held: Vec<_> = sight.flags.iter().map(|(key, held)| (key.as_str(), held.text.as_str())).collect();
        assert_eq!(held, [("A", "1"), ("B", "two words"), ("C", "")]);
        assert_eq!((sight.fact.as_str(), sight.detail.as_str()), ("3 variables", ".env"));
    }
}
