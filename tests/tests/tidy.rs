//! The house rules that a compiler does not know.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files below the folders of the workspace with this ending.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<_> = ["apps", "functions", "shared", "tests"].map(|folder| root().join(folder)).into();
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match path.extension() {
                _ if path.is_dir() => open.push(path),
                Some(extension) if extension == ending => found.push(path),
                _ => {}
            }
        }
    }
    assert!(!found.is_empty(), "no .{ending} file was found below {}", root().display());
    found
}

fn read(path: &Path) -> String {
    let text = fs::read_to_string(path);
    assert!(text.is_ok(), "{} cannot be read", path.display());
    text.unwrap_or_default()
}

fn variables(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !is_part(c)).filter(|word| word.starts_with("LAUNCHDARKLY_"));
    words.map(str::to_owned).collect()
}

#[test]
fn every_module_says_first_what_it_is_for() {
    let bare: Vec<_> = files("rs")
        .into_iter()
        .filter(|path| !read(path).starts_with("//!") && !read(path).starts_with("#![doc"))
        .collect();
    assert!(bare.is_empty(), "these files have no header: {bare:#?}");
}

#[test]
fn files_stay_small_enough_to_be_read() {
    let code = |path: &PathBuf| read(path).split("\n#[cfg(test)]\nmod ").next().unwrap_or_default().lines().count();
    let long: Vec<_> = files("rs").into_iter().filter(|path| code(path) > 400).collect();
    assert!(long.is_empty(), "these files have over 400 lines without their tests: {long:#?}");
}

#[test]
fn no_room_is_named_for_nothing() {
    let named = |path: &PathBuf| {
        path.file_stem()
            .is_some_and(|stem| matches!(stem.to_str(), Some("utils" | "util" | "common" | "helpers" | "misc")))
    };
    let empty: Vec<_> = files("rs").into_iter().filter(named).collect();
    assert!(empty.is_empty(), "{empty:#?}");
}

#[test]
fn no_work_is_left_marked_as_unfinished() {
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let marked: Vec<_> =
        files("rs").into_iter().filter(|path| words.iter().any(|word| read(path).contains(word.as_str()))).collect();
    assert!(marked.is_empty(), "{marked:#?}");
}

#[test]
fn the_readme_lists_every_variable_that_the_functions_read() {
    let config = ["functions/store/src/config.rs", "shared/reader/src/config.rs"];
    let mut in_code: BTreeSet<_> = config.iter().flat_map(|path| variables(&read(&root().join(path)))).collect();
    in_code.extend(["LAUNCHDARKLY_BASE_URI".to_owned(), "LAUNCHDARKLY_EVENTS_URI".to_owned()]);
    let with_parameter =
        ["LAUNCHDARKLY_SDK_KEY", "LAUNCHDARKLY_WEBHOOK_SECRET"].map(|name| format!("{name}_PARAMETER"));
    in_code.extend(with_parameter);
    assert_eq!(variables(&read(&root().join("README.md"))), in_code);
}

#[test]
fn the_readme_says_what_to_do_about_every_error_of_store() {
    let failures = read(&root().join("functions/store/src/failure.rs"));
    let failures = failures.split("\n#[cfg(test)]").next().unwrap_or_default();
    // As in `(502, "payload-empty")`.
    let codes = failures.split('(').filter_map(|text| text.split_once(", \"")).filter_map(|(status, rest)| {
        let is_status = status.len() == 3 && status.chars().all(|c| c.is_ascii_digit());
        is_status.then(|| rest.split('"').next().unwrap_or_default())
    });
    let codes: BTreeSet<_> = codes.collect();
    assert!(codes.len() > 10, "only these codes were found: {codes:?}");
    let readme = read(&root().join("README.md"));
    let missing: Vec<_> = codes.into_iter().filter(|code| !readme.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "README.md says nothing of {missing:?}");
}

#[test]
fn documents_name_only_targets_that_make_has() {
    let makefile = read(&root().join("Makefile"));
    for document in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"] {
        let text = read(&root().join(document));
        // Fences are backticks too, and an odd number of them.
        let code = text.split('`').skip(1).step_by(2);
        for named in code.flat_map(|code| code.split("make ").skip(1)) {
            let target = named.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().unwrap_or_default();
            let is_there = target.is_empty() || makefile.contains(&format!("\n{target}: "));
            assert!(is_there, "{document} names make {target}, which is not there");
        }
    }
}

#[test]
fn documents_name_only_what_is_there() {
    for document in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"] {
        let text = read(&root().join(document));
        let names = text.split('`').skip(1).step_by(2).filter(|name| {
            let folder = name.split('/').next().unwrap_or_default();
            name.contains('/') && matches!(folder, "apps" | "functions" | "shared" | "tests" | "events")
        });
        for name in names {
            assert!(root().join(name).exists(), "{document} names {name}, which is not there");
        }
    }
}

#[test]
fn every_test_that_the_guarantees_name_is_there() {
    let sources: String = files("rs").iter().map(|path| read(path)).collect();
    let text = read(&root().join("docs/guarantees.md"));
    let is_test =
        |name: &&str| name.len() > 20 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let named: Vec<_> = text.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(named.len() > 20, "only these tests were found: {named:?}");
    let missing: Vec<_> = named.into_iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "docs/guarantees.md names tests that are not there: {missing:?}");
}
