//! Whole files, format by format. What the readers of `.env` files make of them is in `tests/readers`.

use proptest::prelude::*;

use super::*;

fn assignments(pairs: &[(&str, &str)]) -> Vec<Assignment> {
    let plain =
        |(name, value): &(&str, &str)| Assignment { name: (*name).to_owned(), value: Text::Plain((*value).to_owned()) };
    pairs.iter().map(plain).collect()
}

fn edited(format: Format, text: &str, pairs: &[(&str, &str)]) -> String {
    let edited = edit(format, text.as_bytes(), &assignments(pairs)).unwrap();
    assert_eq!(edited.refused, []);
    String::from_utf8(edited.text).unwrap()
}

#[test]
fn lines_that_are_not_ours_stay_in_their_places() {
    for (before, after) in [
        ("", "A=1\n"),
        ("A=0", "A=1"),
        ("A=0\n", "A=1\n"),
        ("# c\n\nB=2\nA=0\n\nC=3\n", "# c\n\nB=2\nA=1\n\nC=3\n"),
        ("B=2", "B=2\nA=1\n"),
        ("\n", "\nA=1\n"),
        ("B=2\r\nA=0\r\nC=3\r\n", "B=2\r\nA=1\r\nC=3\r\n"),
        ("B=2\r\n", "B=2\r\nA=1\r\n"),
        ("export A=0\nexport B=2\n", "export A=1\nexport B=2\n"),
        ("  export\tA = 'old'  # why\n", "  export\tA='1' # why\n"),
        ("A=0 # why\n", "A='1' # why\n"),
        ("A=0#not-a-comment\n", "A=1\n"),
        ("A=\n", "A=1\n"),
        ("A= # why\n", "A='1' # why\n"),
        ("A\n", "A=1\n"),
        ("'A'=0\n", "A=1\n"),
        ("A=0\nB=2\nA=3\n", "A=1\nB=2\nA=1\n"),
        ("A='two\nlines' # c\nB=2\n", "A='1' # c\nB=2\n"),
        ("B='\nA=0\n'\nA=5\n", "B='\nA=0\n'\nA=1\n"),
        ("AA=0\nXA=0\n", "AA=0\nXA=0\nA=1\n"),
        ("A='unclosed\nB=2\n", "A='unclosed\nB=2\nA=1\n"),
        ("B='unclosed\nA=0\n", "B='unclosed\nA=1\n"),
        ("=nothing\nnot a line at all\nA=0\n", "=nothing\nnot a line at all\nA=1\n"),
        ("# A=0\n", "# A=0\nA=1\n"),
        ("\u{feff}A=0\n", "\u{feff}A=1\n"),
        ("A=0 ", "A=1 "),
    ] {
        assert_eq!(edited(Format::Dotenv, before, &[("A", "1")]), after, "{before:?}");
    }
}

#[test]
fn a_file_whose_quotes_would_swallow_ours_is_not_touched() {
    for (format, text) in [
        (Format::Dotenv, "B='tis\n"),
        (Format::Dotenv, "'\n"),
        (Format::Shell, "echo 'x\n"),
        (Format::Shell, "A=1\\"),
        (Format::Systemd, "B=\"x\n"),
    ] {
        let edited = edit(format, text.as_bytes(), &assignments(&[("A", "two words")]));
        assert!(matches!(edited, Err(EditError::Unclosed)), "{format} {text:?}");
    }
}

#[test]
fn bytes_that_are_no_text_survive() {
    let edited = edit(Format::Dotenv, b"B=\xff\xfe\nA=\xff\n", &assignments(&[("A", "1")])).unwrap();
    assert_eq!(edited.text, b"B=\xff\xfe\nA=1\n");
}

#[test]
fn a_line_that_says_the_value_to_every_reader_is_left_as_it_is() {
    for line in ["A=v", "A='v'", "A=\"v\"", "export A='v'", "A='v' # c", "  A=v\r", "A=\"v\"  # c"] {
        let text = format!("{line}\nB=1\n");
        let edited = edit(Format::Dotenv, text.as_bytes(), &assignments(&[("A", "v")])).unwrap();
        assert_eq!((edited.changed.len(), edited.text), (0, text.into_bytes()), "{line}");
    }
    for line in ["A = v", "A=\"a$b\"", "A= v", "'A'=v", "A=v\t# c"] {
        let value = if line.contains('$') { "a$b" } else { "v" };
        let edited = edit(Format::Dotenv, line.as_bytes(), &assignments(&[("A", value)])).unwrap();
        assert_eq!(edited.changed, ["A"], "{line}");
    }
}

#[test]
fn a_value_is_quoted_as_every_reader_reads_it() {
    for (value, line) in [
        ("", "A="),
        ("https://api-v2.example.com", "A=https://api-v2.example.com"),
        ("a b", "A='a b'"),
        ("a#b", "A='a#b'"),
        ("$HOME $(x) `y`", "A='$HOME $(x) `y`'"),
        ("say \"hi\"", "A='say \"hi\"'"),
        ("it's", "A=\"it's\""),
        ("it's C:\\dir", "A=\"it's C:\\dir\""),
        ("C:\\new", "A='C:\\new'"),
        ("two\nlines", "A='two\nlines'"),
        (" x ", "A=' x '"),
        ("~/x", "A='~/x'"),
        ("größe", "A='größe'"),
        ("a=b=", "A=a=b="),
        ("$", "A='$'"),
        ("${", "A='${'"),
        ("${a:b}", "A='${a:b}'"),
    ] {
        assert_eq!(edited(Format::Dotenv, "", &[("A", value)]), format!("{line}\n"));
    }
}

#[test]
fn what_some_reader_cannot_read_back_is_refused_by_name_and_the_old_line_stays() {
    for value in [
        "a\\\\b",
        "a b\\",
        "it's \"x\"",
        "it's $5",
        "it's `x`",
        "it's \\n",
        "a\rb",
        "a\0b",
        "${HOME}",
        "${:-x}",
        "${a:-b}",
    ] {
        let edited = edit(Format::Dotenv, b"A=old\n", &assignments(&[("A", value), ("B", "1"), ("C", value)])).unwrap();
        assert_eq!(edited.text, b"A=old\nB=1\n", "{value:?}");
        assert_eq!(edited.refused.iter().map(|refusal| refusal.name.as_str()).collect::<Vec<_>>(), ["A", "C"]);
        assert_eq!(edited.changed, ["B"]);
    }
}

#[test]
fn json_is_spelled_so_that_every_reader_takes_it() {
    let json = serde_json::json!({"a": "it's", "b": "back\\slash \\\\", "c": "${HOME} $x", "d": "two\nlines \"q\"", "e": [1, null]});
    let value = Text::Json(json.to_string());
    let edited = edit(Format::Dotenv, b"", &[Assignment { name: "A".to_owned(), value }]).unwrap();
    let text = String::from_utf8(edited.text).unwrap();
    let inner = text.strip_prefix("A='").and_then(|rest| rest.strip_suffix("'\n")).unwrap();
    assert!(!inner.contains('\'') && !inner.contains("\\\\") && !inner.contains("${"), "{inner}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(inner).unwrap(), json);
}

#[test]
fn docker_takes_everything_behind_the_equals_sign() {
    let text = "# c\nB=' 2'\nA=old value \r\nNAME_ALONE\n  A=x\n";
    assert_eq!(
        edited(Format::Docker, text, &[("A", " 'q' # $x"), ("NAME_ALONE", "")]),
        "# c\nB=' 2'\nA= 'q' # $x\r\nNAME_ALONE=\n  A= 'q' # $x\n"
    );
    let edit = edit(Format::Docker, b"", &assignments(&[("A", "two\nlines"), ("B", "1")])).unwrap();
    assert_eq!((edit.text.as_slice(), edit.refused.len()), (&b"B=1\n"[..], 1));
}

#[test]
fn the_shell_format_exports_what_it_adds_and_knows_the_shells_quotes() {
    let text = "# it's A=0\necho 'x\nA=not ours\n' # y\nA=\"o\\\"ld\nvalue\"'x'y; echo done\nexport B=2\n";
    assert_eq!(
        edited(Format::Shell, text, &[("A", "it's\n$x"), ("B", "2"), ("C", "\\")]),
        "# it's A=0\necho 'x\nA=not ours\n' # y\nA='it'\\''s\n$x'; echo done\nexport B=2\nexport C='\\'\n"
    );
}

#[test]
fn systemd_files_keep_their_comments_and_continued_lines() {
    let text = "; A=0\n# A=0\nB=one \\\nA=not ours\nA = \"x\n y\" \nC='A=0\nA=0'\n";
    assert_eq!(
        edited(Format::Systemd, text, &[("A", "it's $5 \\ \"x\""), ("D", "a b")]),
        "; A=0\n# A=0\nB=one \\\nA=not ours\nA=\"it's \\$5 \\\\ \\\"x\\\"\" \nC='A=0\nA=0'\nD='a b'\n"
    );
    let edit = edit(Format::Systemd, b"", &assignments(&[("A", "\u{feff}"), ("B", "\u{fffe}")])).unwrap();
    assert_eq!(edit.refused.len(), 2);
}

#[test]
fn json_files_keep_other_members_and_their_order() {
    let text = "{\"z\": 1.10, \"A\": \"old\",\n \"b\": {\"x\":1}}";
    assert_eq!(
        edited(Format::Json, text, &[("A", "new"), ("c", "\"")]),
        "{\n  \"z\": 1.10,\n  \"A\": \"new\",\n  \"b\": {\"x\":1},\n  \"c\": \"\\\"\"\n}\n"
    );
    let same = edit(Format::Json, text.as_bytes(), &assignments(&[("A", "old")])).unwrap();
    assert_eq!((same.changed.len(), same.text), (0, text.as_bytes().to_vec()));
    assert!(edit(Format::Json, b"[1]", &assignments(&[("A", "x")])).is_err());
    let number = Assignment { name: "n".to_owned(), value: Text::Json("1".to_owned()) };
    assert_eq!(edit(Format::Json, b" ", &[number]).unwrap().text, b"{\n  \"n\": 1\n}\n");
}

#[test]
fn only_values_that_all_readers_take_for_the_same_are_read() {
    for (format, text, values) in [
        (
            Format::Dotenv,
            "A=1\nexport B=' x '\nC=\"it's\" # c\nD=${HOME}\nE=\"a\\nb\"\nF=1 # c\nG=\nnot-legal=1\nH=1\nH=2\nI=1\nI=$x\n",
            "{\"A\": \"1\", \"B\": \" x \", \"C\": \"it's\", \"G\": \"\", \"H\": \"2\"}",
        ),
        (Format::Docker, "# c\nA=' 1 # \nB\n", r#"{"A": "' 1 # "}"#),
        (Format::Shell, "export A='it'\\''s'\nB=\"a b\"\nC=$x\nD=`y`\nE='a'b\n", r#"{"A": "it's", "B": "a b"}"#),
        (Format::Systemd, "; c\nA=\"it's \\\\ \\$5\"\nB='x'\nC=a\\\nb\n", r#"{"A": "it's \\ $5", "B": "x"}"#),
        (
            Format::Json,
            r#"{"A": "x", "B": 1.10, "C": {"d": null}}"#,
            r#"{"A": "x", "B": "1.10", "C": "{\"d\": null}"}"#,
        ),
        (Format::Json, "", "{}"),
    ] {
        let expected: BTreeMap<String, String> = serde_json::from_str(values).unwrap();
        assert_eq!(read(format, text.as_bytes()).unwrap(), expected, "{format}");
    }
    assert!(read(Format::Json, b"[]").is_err());
}

const FORMATS: [Format; 5] = [Format::Dotenv, Format::Docker, Format::Shell, Format::Systemd, Format::Json];

fn any_file() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("A=".to_owned()),
        Just("export ".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("B".to_owned()),
        Just("=".to_owned()),
        Just("'".to_owned()),
        Just("\"".to_owned()),
        Just(" #".to_owned()),
        Just("\\".to_owned()),
        Just("# x".to_owned()),
        "[a-zA-Z0-9 $`;]{0,4}",
        "\\PC{0,2}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,8}", "[a'\"\\\\$`{}:\n# =-]{0,6}", "\\PC{0,4}"]
}

proptest! {
    #[test]
    fn a_second_edit_changes_nothing(file in any_file(), a in any_value(), b in any_value()) {
        let wanted = assignments(&[("A", &a), ("B", &b)]);
        for format in FORMATS {
            let Ok(once) = edit(format, file.as_bytes(), &wanted) else { continue };
            let twice = edit(format, &once.text, &wanted).unwrap();
            prop_assert!(twice.changed.is_empty(), "{format}: {:?} then {:?}", String::from_utf8_lossy(&once.text), twice.changed);
            prop_assert_eq!(twice.text, once.text);
        }
    }

    #[test]
    fn what_is_written_is_read_back(file in any_file(), value in any_value()) {
        for format in FORMATS {
            let Ok(edited) = edit(format, file.as_bytes(), &assignments(&[("A", &value)])) else { continue };
            if edited.refused.is_empty() {
                let values = read(format, &edited.text).unwrap();
                prop_assert_eq!(values.get("A"), Some(&value), "{}: {:?}", format, String::from_utf8_lossy(&edited.text));
            }
        }
    }

    #[test]
    fn what_is_not_ours_is_never_lost(file in any_file(), value in any_value()) {
        for format in FORMATS {
            let wanted = assignments(&[("UNHEARD_OF", &value)]);
            let Ok(edited) = edit(format, file.as_bytes(), &wanted) else { continue };
            if format != Format::Json {
                prop_assert!(edited.text.starts_with(file.as_bytes()), "{format}");
            }
        }
    }

    #[test]
    fn nothing_wanted_changes_nothing(file in any_file()) {
        for format in FORMATS {
            if let Ok(edited) = edit(format, file.as_bytes(), &[]) {
                prop_assert_eq!(edited.text, file.as_bytes());
            }
        }
    }
}
