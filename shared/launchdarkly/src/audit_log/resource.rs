//! Resource specifiers: `proj/P:env/E:flag/K`, as an audit-log entry names what was changed.
//!
//! Format: <https://launchdarkly.com/docs/home/account/roles/role-resources>. Each part may carry
//! tags (`;tag,tag`), several specifiers are joined by commas, and any part may hold a `*`.

use super::ItemKind;

/// A flag or segment named by a specifier; key and environment may be patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resource<'a> {
    pub(super) kind: ItemKind,
    pub(super) key: &'a str,
    pub(super) environment: Option<&'a str>,
}

/// The flags and segments that `specifiers` name; everything else in it is passed over.
pub(super) fn parse(specifiers: &str) -> impl Iterator<Item = Resource<'_>> {
    split(specifiers).into_iter().flat_map(resources)
}

/// Splits at those commas behind which a specifier begins. The others separate tags or keys, and
/// neither can hold a slash.
fn split(specifiers: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    for (comma, _) in specifiers.match_indices(',') {
        if specifiers[comma + 1..].trim_start().starts_with("proj/") {
            found.push(&specifiers[start..comma]);
            start = comma + 1;
        }
    }
    found.push(&specifiers[start..]);
    found
}

fn resources(specifier: &str) -> impl Iterator<Item = Resource<'_>> {
    let mut environment = None;
    let mut item = None;
    for part in specifier.trim().split(':') {
        // Some of LaunchDarkly's own examples have a slash before the kind too.
        let Some((kind, keys)) = part.trim_start_matches('/').split_once('/') else {
            continue;
        };
        let keys = keys.split(';').next().unwrap_or(keys);
        match kind {
            "env" => environment = Some(keys),
            "flag" => item = Some((ItemKind::Flag, keys)),
            "segment" => item = Some((ItemKind::Segment, keys)),
            _ => {}
        }
    }
    item.into_iter().flat_map(move |(kind, keys)| {
        keys.split(',').map(str::trim).filter(|key| !key.is_empty()).map(move |key| Resource { kind, key, environment })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(specifiers: &str) -> Vec<(ItemKind, &str, Option<&str>)> {
        parse(specifiers).map(|resource| (resource.kind, resource.key, resource.environment)).collect()
    }

    #[test]
    fn finds_flags_and_segments_in_every_form_of_specifier() {
        use ItemKind::{Flag, Segment};
        type Named = Vec<(ItemKind, &'static str, Option<&'static str>)>;
        let cases: Vec<(&'static str, Named)> = vec![
            ("proj/p:env/e:flag/k", vec![(Flag, "k", Some("e"))]),
            ("proj/p:env/e:segment/k", vec![(Segment, "k", Some("e"))]),
            ("proj/p;a,b:env/e;c:flag/k;d,e", vec![(Flag, "k", Some("e"))]),
            ("proj/p:env/*:flag/k", vec![(Flag, "k", Some("*"))]),
            ("proj/p:flag/k", vec![(Flag, "k", None)]),
            ("proj/p:env/e:flag/*", vec![(Flag, "*", Some("e"))]),
            ("proj/*:env/*;qa_*:/flag/*", vec![(Flag, "*", Some("*"))]),
            (
                "proj/p:env/e:flag/a;t,u, proj/p:env/f:segment/b",
                vec![(Flag, "a", Some("e")), (Segment, "b", Some("f"))],
            ),
            ("proj/p:env/e:flag/a,b", vec![(Flag, "a", Some("e")), (Flag, "b", Some("e"))]),
            (" proj/p:env/e:flag/k ", vec![(Flag, "k", Some("e"))]),
            ("proj/p:env/e", vec![]),
            ("proj/p:env/e:flag/", vec![]),
            ("proj/p:env/e:destination/k", vec![]),
            ("member/5e38", vec![]),
            ("::/;,:flag", vec![]),
            ("", vec![]),
        ];
        for (specifiers, expected) in cases {
            assert_eq!(named(specifiers), expected, "{specifiers:?}");
        }
    }
}
