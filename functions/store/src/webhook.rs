//! Lets a webhook in, and reads what it names.
//!
//! Nothing is parsed before the signature over the raw bytes is right. What the body then says is only a hint: a sync is
//! made whatever it is.

use flagcache_aws::{SecretFault, SecretSource, Secrets};
use flagcache_lambda::event::Request;
use flagcache_launchdarkly::audit_log::{self, Entry, ItemKind};
use flagcache_launchdarkly::webhook::{SIGNATURE_HEADER, SignatureError, verify};
use flagcache_payload::{ItemId, Kind};
use launchdarkly_server_sdk_dynamodb::sync::{Change, Named};
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;

/// The largest body that is looked at, in bytes; LaunchDarkly's largest entries are a tenth of it.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How long SSM is asked at the start whether there is a secret.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// What a webhook says has happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) named: Vec<Named>,
    pub(crate) changed_at_ms: Option<u64>,
}

/// Says at the start, and not first at a webhook, that there is nothing to check signatures with. An SSM that does not
/// answer soon is not waited for: whoever needs the secret asks again.
pub(crate) async fn announce(secrets: Arc<Secrets>, source: Option<SecretSource>, required: bool) {
    let Some(source @ SecretSource::Parameter(parameter)) = &source else { return };
    let what_follows = if required { "every webhook is refused" } else { "webhooks are accepted unchecked" };
    if let Ok(Ok(None)) = tokio::time::timeout(LONGEST_LOOK, configured(source, &secrets)).await {
        tracing::warn!(parameter, "the webhook secret's parameter does not exist: {what_follows} until it does");
    }
}

/// Judges a request, and reads what it names.
pub(crate) async fn admit(
    request: &Request,
    secrets: &Secrets,
    secret: Option<&SecretSource>,
    signature_required: bool,
) -> Result<Hint, Failure> {
    let body = request.body.bytes().map_err(Failure::BadBase64)?;
    let signatures = request.header_values(SIGNATURE_HEADER);
    check(&body, &signatures, secrets, secret, signature_required).await?;
    Ok(read(&body))
}

/// Refuses what needs no look at the body.
pub(crate) fn refuse_outright(request: &Request) -> Result<(), Failure> {
    if !request.method.eq_ignore_ascii_case("POST") {
        return Err(Failure::MethodNotAllowed { method: request.method.clone() });
    }
    let bytes = request.body.size();
    if bytes > MAX_BODY_BYTES {
        return Err(Failure::TooLarge { bytes, limit: MAX_BODY_BYTES });
    }
    Ok(())
}

async fn check(
    body: &[u8],
    signatures: &[&str],
    secrets: &Secrets,
    source: Option<&SecretSource>,
    required: bool,
) -> Result<(), Failure> {
    let configured = match source {
        Some(source) => configured(source, secrets).await?,
        None => None,
    };
    match (configured, source) {
        (Some(secret), Some(source)) => check_against(body, signatures, secrets, source, &secret).await,
        _ if required => Err(Failure::NoSecret),
        _ => {
            tracing::warn!(
                signed = !signatures.is_empty(),
                "no webhook secret is configured: this webhook is accepted without a check of its signature"
            );
            Ok(())
        }
    }
}

/// The secret; nothing where its parameter does not exist, which is how a stack without a secret looks.
async fn configured(source: &SecretSource, secrets: &Secrets) -> Result<Option<SecretString>, Failure> {
    match secrets.get(source).await {
        Ok(secret) => Ok(Some(secret)),
        Err(error) if error.fault == SecretFault::Missing => Ok(None),
        Err(error) => Err(Failure::Secret(error)),
    }
}

/// A signature that does not match may be one by a new secret: it is read once more.
async fn check_against(
    body: &[u8],
    signatures: &[&str],
    secrets: &Secrets,
    source: &SecretSource,
    secret: &SecretString,
) -> Result<(), Failure> {
    match verify(secret, body, signatures) {
        Err(SignatureError::Mismatch) if matches!(source, SecretSource::Parameter(_)) => {
            let newer = secrets.refresh(source).await.map_err(Failure::Secret)?;
            verify(&newer, body, signatures).map_err(Failure::Signature)
        }
        result => result.map_err(Failure::Signature),
    }
}

fn read(body: &[u8]) -> Hint {
    match Entry::parse(body) {
        Ok(entry) => {
            let named = entry.changes.iter().map(named).collect();
            Hint { named, changed_at_ms: entry.date_ms }
        }
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the webhook's body is not an audit-log entry: syncing all the same");
            Hint::default()
        }
    }
}

fn named(change: &audit_log::NamedChange) -> Named {
    let kind = match change.kind {
        ItemKind::Flag => Kind::Flag,
        ItemKind::Segment => Kind::Segment,
    };
    let what = match change.what {
        audit_log::Change::Created => Change::Created,
        audit_log::Change::Updated => Change::Updated,
        audit_log::Change::Deleted => Change::Deleted,
    };
    // Which of several versions is this environment's is unknown; at least the lowest must show.
    let version = change.version.or_else(|| change.candidate_versions.first().copied());
    Named { id: ItemId::new(kind, &*change.key), change: what, version }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_log_entry_names_what_to_look_for() {
        let body = br#"{"_id":"1","kind":"flag","date":1700000000000,
            "accesses":[{"action":"updateOn","resource":"proj/default:env/staging:flag/f"}],
            "currentVersion":{"key":"f","environments":{"staging":{"version":12}}}}"#;
        let id = ItemId::new(Kind::Flag, "f");
        let named = Named { id, change: Change::Updated, version: Some(12) };
        assert_eq!(read(body), Hint { named: vec![named], changed_at_ms: Some(1_700_000_000_000) });
    }

    #[test]
    fn any_other_body_names_nothing() {
        for body in [&b""[..], b"{}", b"[1]", b"\xff"] {
            assert_eq!(read(body), Hint::default());
        }
    }
}
