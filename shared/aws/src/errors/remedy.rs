//! The line that says cause and remedy. Pure.

use super::{Cause, Place};

/// Blanks for line breaks, and not more than a log line bears.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(500).collect()
}

pub(super) fn line(cause: Cause, code: &str, said: &str, status: Option<u16>, place: &Place<'_>) -> String {
    let Place { resource, region, .. } = place;
    let at = at(place);
    match cause {
        Cause::NoTable => format!(
            "there is no table {resource:?} in {at}; deploy the stack or set LAUNCHDARKLY_DYNAMODB_TABLE to the \
             table's name and AWS_REGION to its region"
        ),
        Cause::NoPermission => format!("the role may not do {}; allow it in the role's policy", action(said, resource)),
        Cause::Credentials => format!(
            "AWS does not accept the credentials in {region}{}; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, \
             AWS_SESSION_TOKEN and the clock",
            because(&[code, said])
        ),
        Cause::Throttled => format!(
            "AWS throttles requests to {resource:?} in {region}{}; they are retried, raise the capacity if it stays",
            because(&[code, said])
        ),
        Cause::WrongSchema => format!(
            "the table {resource:?} in {region} has other keys{}; it needs the hash key \"namespace\" and the range \
             key \"key\", both strings",
            because(&[said])
        ),
        Cause::Unreachable => {
            let status = status.map(|status| format!("HTTP {status}")).unwrap_or_default();
            format!(
                "no usable answer from {at}{}; check the network, AWS_REGION and AWS_ENDPOINT_URL",
                because(&[&status, code, said])
            )
        }
        Cause::Timeout => {
            format!("no answer in time from {at}{}; check the network and the VPC's endpoints", because(&[said]))
        }
        Cause::Other => format!("AWS refuses the request for {resource:?} in {region}{}", because(&[code, said])),
    }
}

fn at(place: &Place<'_>) -> String {
    match place.endpoint {
        "" => place.region.to_owned(),
        endpoint => format!("{} ({endpoint})", place.region),
    }
}

fn because(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

/// The action and its resource, out of IAM's sentence "… is not authorized to perform: A on resource: R …".
fn action(said: &str, resource: &str) -> String {
    let action = said.split_once("perform: ").map(|(_, rest)| rest);
    let word = |text: &str| text.split_whitespace().next().unwrap_or_default().trim_end_matches(['.', ',']).to_owned();
    match action {
        Some(rest) => {
            let on = rest.split_once("on resource: ").map_or_else(|| resource.to_owned(), |(_, on)| word(on));
            format!("{} on {on}", word(rest))
        }
        None => format!("this on {resource}{}", because(&[said])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { resource: "flags", region: "eu-west-1", endpoint: "" };

    #[test]
    fn a_line_has_no_break_and_an_end() {
        assert_eq!(one_line("a\n  b\tc "), "a b c");
        assert_eq!(one_line(&"x".repeat(1000)).len(), 500);
    }

    #[test]
    fn a_refusal_without_iams_sentence_is_quoted() {
        let line = line(Cause::NoPermission, "AccessDenied", "no", None, &PLACE);
        assert_eq!(line, "the role may not do this on flags: no; allow it in the role's policy");
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let line = line(Cause::Timeout, "", "", None, &PLACE);
        assert_eq!(line, "no answer in time from eu-west-1; check the network and the VPC's endpoints");
    }
}
