//! The Relay Proxy's file format: sections of `key = "value"`, as Git's configuration has it.
//!
//! Defined by `go-gcfg/gcfg`: in quotes, only `\"`, `\\`, `\n`, `\t` and `\b` are escapes.

use std::fmt::Write;

/// A file under construction.
#[derive(Default)]
pub(super) struct Ini(String);

impl Ini {
    pub(super) fn comment(&mut self, text: &str) {
        self.line(&format!("# {}", text.replace(['\n', '\r'], " ")));
    }

    pub(super) fn section(&mut self, name: &str) {
        self.blank();
        self.line(&format!("[{name}]"));
    }

    pub(super) fn subsection(&mut self, name: &str, of: &str) {
        self.blank();
        self.line(&format!("[{name} {}]", quoted(&of.replace(['\n', '\r', '\t'], " "))));
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.line(&format!("    {key} = {}", quoted(value)));
    }

    pub(super) fn word(&mut self, key: &str, value: impl std::fmt::Display) {
        self.line(&format!("    {key} = {value}"));
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn blank(&mut self) {
        if !self.0.is_empty() {
            self.line("");
        }
    }

    fn line(&mut self, text: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{text}");
    }
}

fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_value_is_escaped() {
        let mut ini = Ini::default();
        ini.comment("a\nb");
        ini.section("Main");
        ini.word("port", 8030);
        ini.subsection("Environment", "a \"b\"\n[c]");
        ini.text("sdkKey", "a\"b\\c\nd;#e");
        assert_eq!(
            ini.finish(),
            "# a b\n\n[Main]\n    port = 8030\n\n[Environment \"a \\\"b\\\" [c]\"]\n    sdkKey = \"a\\\"b\\\\c\\nd;#e\"\n"
        );
    }
}
