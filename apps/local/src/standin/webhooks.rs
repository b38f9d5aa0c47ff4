//! Delivers audit-log entries to the webhook's URL, signed, each delivery on its own: one that is
//! slow holds up none of the others, as with LaunchDarkly, so they may also overtake each other.
//!
//! Signature: <https://launchdarkly.com/docs/home/infrastructure/webhooks>: `X-LD-Signature` is the
//! lower-case hex HMAC-SHA256 of the raw body.

use super::record::Recorded;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer is waited for.
const LIMIT: Duration = Duration::from_mins(1);

/// How webhooks are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookMode {
    /// Each once, signed.
    #[default]
    Signed,
    /// Not at all.
    Off,
    /// Each twice, at the same time.
    Duplicated,
    /// In pairs: the second of two first, and once that is answered the first.
    Reordered,
    /// Without a signature.
    Unsigned,
    /// Signed with another secret.
    WrongSecret,
}

/// What became of one delivery.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// `_id` of the entry.
    pub entry_id: String,
    /// What was sent as `X-LD-Signature`, if anything was sent with one.
    pub signature: Option<String>,
    /// What was answered.
    pub outcome: Outcome,
    /// How long it took, from sending to having the answer.
    pub duration: Duration,
}

/// The end of a delivery.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Outcome {
    /// There was an answer.
    Answered {
        /// Its status.
        status: u16,
        /// Its body, as text.
        body: String,
    },
    /// There was none.
    Failed {
        /// Why not.
        reason: String,
    },
    /// It was not sent: webhooks are off, or have no URL.
    Withheld,
}

impl Delivery {
    /// The answer's status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self.outcome {
            Outcome::Answered { status, .. } => Some(status),
            Outcome::Failed { .. } | Outcome::Withheld => None,
        }
    }

    /// The answer's body as JSON; null where there is none.
    pub fn json(&self) -> serde_json::Value {
        match &self.outcome {
            Outcome::Answered { body, .. } => serde_json::from_str(body).unwrap_or_default(),
            Outcome::Failed { .. } | Outcome::Withheld => serde_json::Value::Null,
        }
    }
}

/// An entry on its way.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) entry_id: String,
    pub(super) body: Bytes,
}

/// The webhook of the environment.
#[derive(Debug)]
pub(super) struct Webhooks {
    settings: Mutex<Settings>,
    pub(super) deliveries: Recorded<Delivery>,
}

struct Settings {
    url: Option<String>,
    secret: String,
    mode: WebhookMode,
    /// The first of a pair that is to be reordered.
    held: Option<Message>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("url", &self.url).field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Webhooks {
    pub(super) fn new(url: Option<String>, secret: String) -> Arc<Self> {
        let settings = Settings { url, secret, mode: WebhookMode::Signed, held: None };
        Arc::new(Self { settings: settings.into(), deliveries: Recorded::default() })
    }

    pub(super) fn set_url(&self, url: Option<String>) {
        self.settings().url = url;
    }

    pub(super) fn url(&self) -> Option<String> {
        self.settings().url.clone()
    }

    pub(super) fn set_secret(&self, secret: String) {
        self.settings().secret = secret;
    }

    pub(super) fn mode(&self) -> WebhookMode {
        self.settings().mode
    }

    /// Changes how webhooks are delivered, and delivers what was held back.
    pub(super) fn set_mode(self: &Arc<Self>, mode: WebhookMode) {
        let held = {
            let mut settings = self.settings();
            settings.mode = mode;
            settings.held.take()
        };
        if let Some(message) = held {
            self.deliver(vec![message]);
        }
    }

    /// Sends an entry as the mode has it.
    pub(super) fn send(self: &Arc<Self>, message: Message) {
        let mode = self.mode();
        match mode {
            WebhookMode::Signed | WebhookMode::Unsigned | WebhookMode::WrongSecret | WebhookMode::Off => {
                self.deliver(vec![message]);
            }
            WebhookMode::Duplicated => {
                self.deliver(vec![message.clone()]);
                self.deliver(vec![message]);
            }
            WebhookMode::Reordered => {
                let mut settings = self.settings();
                let held = settings.held.take();
                match held {
                    Some(first) => {
                        drop(settings);
                        self.deliver(vec![message, first]);
                    }
                    None => settings.held = Some(message),
                }
            }
        }
    }

    /// The first delivery of a webhook, once it has ended.
    pub(super) async fn delivered(&self, entry_id: &str) -> Delivery {
        let wanted = |all: &[Delivery]| all.iter().find(|delivery| delivery.entry_id == entry_id).cloned();
        self.deliveries.wait_for(wanted).await
    }

    /// Delivers one message after the other, in a task of its own.
    fn deliver(self: &Arc<Self>, messages: Vec<Message>) {
        let webhooks = self.clone();
        tokio::spawn(async move {
            for message in messages {
                let (url, signature) = webhooks.envelope(&message.body);
                let began = Instant::now();
                let (signature, outcome) = match url {
                    Some(url) => (signature.clone(), post(&url, signature, message.body).await),
                    None => (None, Outcome::Withheld),
                };
                let delivery = Delivery { entry_id: message.entry_id, signature, outcome, duration: began.elapsed() };
                webhooks.deliveries.push(delivery);
            }
        });
    }

    /// Where to, if anywhere, and with which signature.
    fn envelope(&self, body: &[u8]) -> (Option<String>, Option<String>) {
        let settings = self.settings();
        let url = settings.url.clone().filter(|_| settings.mode != WebhookMode::Off);
        let signature = match settings.mode {
            WebhookMode::Unsigned => None,
            WebhookMode::WrongSecret => Some(signature(&format!("not {}", settings.secret), body)),
            _ => Some(signature(&settings.secret, body)),
        };
        (url, signature)
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn post(url: &str, signature: Option<String>, body: Bytes) -> Outcome {
    let mut request = crate::http_client()
        .post(url)
        .timeout(LIMIT)
        .header("content-type", "application/json")
        .header("user-agent", "LaunchDarkly/1.0");
    if let Some(signature) = signature {
        request = request.header("x-ld-signature", signature);
    }
    let answer = async {
        let response = request.body(body).send().await?;
        let status = response.status().as_u16();
        let body = response.bytes().await?;
        Ok::<_, reqwest::Error>(Outcome::Answered { status, body: String::from_utf8_lossy(&body).into_owned() })
    };
    answer.await.unwrap_or_else(|error| Outcome::Failed { reason: error.to_string() })
}

/// The value of `X-LD-Signature` for a body: lower-case hex HMAC-SHA256.
pub fn signature(secret: &str, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_published_test_vector() {
        // RFC 4231, test case 2.
        assert_eq!(
            signature("Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
