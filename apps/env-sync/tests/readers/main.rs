//! Files that env-sync has edited, read by those who read such files: python-dotenv, three versions of Node's dotenv,
//! docker compose, docker, `sh` and `bash`. Every value must come back equal, or have been refused.
//!
//! `tests/interop/install-dotenv` puts the readers into `.tools`.

#![expect(clippy::unwrap_used, reason = "what a test relies on has to be there")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use env_sync::edit::{Assignment, Format, Text, edit};
use local::patience::output_blocking;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

type Values = BTreeMap<String, String>;

const ANY: usize = 3_000;

fn tool(path: &str) -> PathBuf {
    let tools = std::env::var_os("FLAGCACHE_TOOLS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools"), PathBuf::from);
    let tool = tools.join("dotenv").join(path);
    assert!(tool.exists(), "{} is not there; run tests/interop/install-dotenv", tool.display());
    tool
}

fn peer(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/dotenv").join(path)
}

/// The same values in every run, so that a failure can be looked at again.
fn runner() -> TestRunner {
    TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

fn some<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let mut runner = runner();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Values that somebody would think of, and thousands that nobody would.
#[expect(clippy::too_many_lines, reason = "a flat list of one value a line")]
fn values() -> Vec<String> {
    let thought_of = [
        "",
        " ",
        "a",
        "two words",
        " leading",
        "trailing ",
        "\ttab",
        "it's",
        "say \"hi\"",
        "it's \"both\"",
        "$HOME",
        "$$",
        "$5",
        "${HOME}",
        "a$",
        "`date`",
        "$(date)",
        "#",
        "a #b",
        "a#b",
        "# c",
        "=",
        "a=b",
        "==",
        "two\nlines",
        "\n",
        "a\n",
        "\na",
        "it's\ntwo",
        "größe",
        "日本語",
        "🦀",
        "\u{2028}",
        "\u{a0}",
        "\u{85}x",
        "a\u{feff}",
        "\\",
        "a\\b",
        "a\\\\b",
        "\\n",
        "C:\\new\\table",
        "it's C:\\dir",
        "it's\\n",
        "\\'",
        "\\\"",
        "'",
        "\"",
        "''",
        "\"\"",
        "'\"",
        "'a'",
        "\"a\"",
        "`",
        "`a`",
        "!",
        "a!b",
        "~",
        "~/x",
        "a:~b",
        "*",
        "?",
        "[a]",
        "{a,b}",
        "a;b",
        "a&b",
        "a|b",
        "<a>",
        "(a)",
        "%",
        "100%",
        "@",
        "https://api-v2.example.com/x?a=1&b=2#frag",
        "{\"a\":[1,2,{\"b\":null}]}",
        "null",
        "true",
        "export A=1",
        "A=1",
        "-----BEGIN KEY-----\nab+/=\n-----END KEY-----\n",
        "\r",
        "a\r\nb",
        "\u{1b}[0m",
        "\u{7f}",
        "a\u{0}b",
        "\\u0041",
        "\\x41",
        "\\101",
        "\\0101",
        "it's \\0",
        "it's \\'",
        "\"\n\"",
        "'\n'",
        "a'\n'b",
        "'a\nb'",
        "x\n# y\nA=1\nz",
        "x\"\n\"y",
        "${",
        "${}",
        "${a",
        "${a:b}",
        "${a:-b}",
        "$}",
        "$a$b",
    ];
    let syntax = r#"[ab'"\\$`{}:#=~!&; 	\n-]{0,8}"#;
    let words =
        proptest::prop_oneof![syntax, "[ -~]{0,12}", "\\PC{0,6}", "(it's |\"|\\\\n|\\$\\{x\\}|\n| |a|#|\\\\){0,5}"];
    thought_of.into_iter().map(str::to_owned).chain(some(&words, ANY)).collect()
}

/// A file with all values that the format can hold, and what must be read of it.
fn file(format: Format, folder: &Path) -> (PathBuf, Values) {
    let name = |index: usize| format!("V{index}");
    let assignments: Vec<Assignment> = values()
        .into_iter()
        .enumerate()
        .map(|(index, value)| Assignment { name: name(index), value: Text::Plain(value) })
        .collect();
    let edited = edit(format, b"# first\nOTHER=1\n", &assignments).unwrap();
    let refused: Vec<_> = edited.refused.iter().map(|refusal| refusal.name.clone()).collect();
    let held = assignments.into_iter().filter(|assignment| !refused.contains(&assignment.name));
    let wanted: Values = held.map(|assignment| (assignment.name, assignment.value.as_str().to_owned())).collect();
    assert!(wanted.len() > ANY / 2, "of so many values only {} can be held", wanted.len());
    let path = folder.join("file");
    std::fs::write(&path, edited.text).unwrap();
    (path, wanted)
}

/// What a command prints that has to succeed.
fn printed(command: Command) -> Vec<u8> {
    let told = format!("{command:?}");
    let output = output_blocking(command).unwrap();
    assert!(output.status.success(), "{told}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn json_of(program: impl AsRef<OsStr>, arguments: &[&Path]) -> Values {
    let mut command = Command::new(program);
    command.args(arguments);
    serde_json::from_slice(&printed(command)).unwrap()
}

fn sourced(shell: &str, path: &Path, names: &Values) -> Values {
    let print =
        "set -a; . \"$1\"; shift; for name do eval \"printf '%s=%s\\\\0' \\\"\\$name\\\" \\\"\\$$name\\\"\"; done";
    let mut command = Command::new(shell);
    command.args(["-c", print, shell]).arg(path).args(names.keys());
    let output = printed(command);
    let pairs = output.split(|byte| *byte == 0).filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| std::str::from_utf8(pair).unwrap().split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn assert_same(reader: &str, mut read: Values, wanted: &Values) {
    read.remove("OTHER");
    for (name, value) in wanted {
        assert_eq!(read.get(name), Some(value), "{reader} reads {name} differently");
    }
    assert_eq!(read.len(), wanted.len(), "{reader} finds other names");
}

#[test]
fn everybody_reads_dotenv_files_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (path, wanted) = file(Format::Dotenv, folder.path());
    let python = json_of(tool("venv/bin/python"), &[&peer("python/read.py"), &path]);
    assert_same("python-dotenv", python, &wanted);
    for version in ["dotenv", "dotenv-17", "dotenv-16"] {
        let read = json_of("node", &[&tool("node/read.cjs"), version.as_ref(), &path]);
        assert_same(version, read, &wanted);
    }
    assert_same("docker compose", json_of(tool("read-go"), &["compose".as_ref(), &path]), &wanted);
    assert_same("sh", sourced("sh", &path, &wanted), &wanted);
    assert_same("bash", sourced("bash", &path, &wanted), &wanted);
}

#[test]
fn docker_reads_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let (path, wanted) = file(Format::Docker, folder.path());
    assert_same("docker", json_of(tool("read-go"), &["docker".as_ref(), &path]), &wanted);
}

#[test]
fn shells_read_what_is_made_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let (path, wanted) = file(Format::Shell, folder.path());
    let count = values().iter().filter(|value| !value.contains('\0')).count();
    assert_eq!(wanted.len(), count, "only a NUL cannot be held");
    assert_same("sh", sourced("sh", &path, &wanted), &wanted);
    assert_same("bash", sourced("bash", &path, &wanted), &wanted);
}

#[test]
fn a_key_is_set_where_python_dotenv_would_set_it() {
    let pieces = proptest::prop_oneof![
        "(A|B|export A|  A|'A'|A B|AA)?",
        "( ?= ?)?",
        "('|\")?",
        "[a-z $]{0,3}",
        "('|\")?",
        "( #|#)?",
        "(\\\\|\\\\n)?",
        "(\n|\r\n|\n\n)",
    ];
    let files = some(&proptest::collection::vec(pieces, 0..14).prop_map(|pieces| pieces.concat()), 3_000);
    let values = some(&"[a-z '#\"]{0,4}", files.len());
    let mut cases = Vec::new();
    for (file, value) in files.into_iter().zip(values) {
        let assignment = Assignment { name: "A".to_owned(), value: Text::Plain(value.clone()) };
        match edit(Format::Dotenv, file.as_bytes(), &[assignment]) {
            Ok(edited) if edited.refused.is_empty() => {
                let edited = String::from_utf8(edited.text).unwrap();
                cases.push(json!({"file": file, "key": "A", "value": value, "edited": edited}));
            }
            _ => {}
        }
    }
    assert!(cases.len() > 1_000, "only {} cases", cases.len());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cases"), serde_json::to_vec(&cases).unwrap()).unwrap();
    let mut python = Command::new("sh");
    python.args(["-c", "exec \"$0\" \"$1\" <cases"]).current_dir(folder.path());
    python.arg(tool("venv/bin/python")).arg(peer("python/set_key.py"));
    let results: Vec<[serde_json::Value; 2]> = serde_json::from_slice(&printed(python)).unwrap();
    for (case, [theirs, ours]) in cases.iter().zip(&results) {
        assert_eq!(ours["A"], case["value"], "for {case}");
        // Where a quote is not closed, set_key itself loses what it sets.
        if theirs["A"] == case["value"] {
            assert_eq!(ours, theirs, "for {case}");
        }
    }
    assert_eq!(results.len(), cases.len());
}
