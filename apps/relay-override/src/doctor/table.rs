//! What `rc doctor` says of the pipeline's table: whether an override would be seen, and by whom.

use flagcache_program::one_line;

use super::Finding;
use crate::dynamodb_store::{DynamoDbStore, Inspection};

/// Without a project and an environment a prefix that holds them cannot be filled in; one that does
/// not is looked up all the same.
pub(super) async fn examine(store: &DynamoDbStore, place: Option<(&str, &str)>) -> Vec<Finding> {
    let (project, environment) = place.unwrap_or_default();
    match store.inspect(project, environment).await {
        Ok(inspection) => judge(&inspection),
        Err(error) => vec![Finding::Fail(one_line(&error))],
    }
}

fn judge(inspection: &Inspection) -> Vec<Finding> {
    let Inspection { is_inited, flags, overridden, namespace } = inspection;
    let mut findings = vec![if *is_inited {
        Finding::Ok(format!("reachable, and {namespace} is marked as filled"))
    } else {
        Finding::Fail(format!(
            "reachable, but {namespace} is not marked as filled: run `store` once, or check --table and --table-prefix"
        ))
    }];
    if *is_inited {
        findings.push(match flags {
            Some(flags) => Finding::Ok(format!("a snapshot of {flags} flags, which an override changes too")),
            None => {
                Finding::Ok("no snapshot: another program fills it, and an override changes the item alone".to_owned())
            }
        });
    }
    if !overridden.is_empty() {
        let flags = overridden.join(", ");
        findings.push(Finding::Warn(format!("overridden until LaunchDarkly answers `store` again: {flags}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_nobody_filled_is_a_failure_and_what_is_overridden_is_named() {
        let filled = Inspection {
            is_inited: true,
            flags: Some(3),
            overridden: vec!["f".to_owned()],
            namespace: "features".to_owned(),
        };
        assert!(matches!(&judge(&filled)[..], [Finding::Ok(_), Finding::Ok(text), Finding::Warn(named)]
            if text.contains("3 flags") && named.ends_with(": f")));
        let empty = Inspection { is_inited: false, flags: None, overridden: Vec::new(), ..filled };
        assert!(matches!(&judge(&empty)[..], [Finding::Fail(text)] if text.contains("features")));
    }
}
