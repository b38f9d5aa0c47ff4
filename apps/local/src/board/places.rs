//! Where flags are to be seen, and a look at each: as everybody else sees them, from outside.

use super::{env_file, prefork, table};
use crate::dynamodb::EmbeddedDynamoDb;
use crate::lambda::{HttpFront, InvokeError};
use crate::standin::Standin;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The key of the user for whom `reader` is asked.
const USER: &str = "board";
/// How long an answer is waited for.
const LIMIT: Duration = Duration::from_secs(5);

/// What the board shows. Places that do not run are left out, and their columns with them.
pub struct Places {
    /// LaunchDarkly.
    pub standin: Arc<Standin>,
    /// The DynamoDB that has the table.
    pub dynamodb: Arc<EmbeddedDynamoDb>,
    /// The table's name.
    pub table: String,
    /// The functions, if they run.
    pub functions: Option<Functions>,
    /// The file that `env-sync` keeps, if it runs.
    pub env_file: Option<PathBuf>,
    /// The URL of `prefork-server`, if it runs.
    pub prefork: Option<String>,
}

/// The functions behind their URLs.
#[derive(Debug, Clone)]
pub struct Functions {
    /// Fills the table.
    pub store: Arc<HttpFront>,
    /// Answers from it.
    pub reader: Arc<HttpFront>,
}

/// A place that a change arrives at, in the order of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Table,
    Reader,
    EnvFile,
    Prefork,
}

/// What one place holds of one flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) text: String,
    pub(super) note: String,
    /// Where the place tells it.
    pub(super) version: Option<u64>,
}

/// What a look at one place has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) fact: String,
    pub(super) detail: String,
    pub(super) flags: BTreeMap<String, Held>,
}

/// A sight, or why there is none.
pub(super) type Seen = Result<Sight, String>;

/// A flag as LaunchDarkly has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Flag {
    pub(super) version: u64,
    #[serde(default)]
    pub(super) on: bool,
}

#[derive(Deserialize)]
struct Payload {
    flags: BTreeMap<String, Flag>,
}

impl Places {
    /// The places that are there to be looked at.
    pub(super) fn all(&self) -> Vec<Place> {
        let is_there = |place: &Place| match place {
            Place::Table => true,
            Place::Reader => self.functions.is_some(),
            Place::EnvFile => self.env_file.is_some(),
            Place::Prefork => self.prefork.is_some(),
        };
        [Place::Table, Place::Reader, Place::EnvFile, Place::Prefork].into_iter().filter(is_there).collect()
    }

    /// The flags as LaunchDarkly has them now, whatever it answers.
    pub(super) fn flags(&self) -> BTreeMap<String, Flag> {
        serde_json::from_slice(&self.standin.data()).map_or_else(|_| BTreeMap::new(), |payload: Payload| payload.flags)
    }

    /// Looks at a place.
    pub(super) async fn look(&self, place: Place) -> Seen {
        match (place, &self.functions, &self.env_file, &self.prefork) {
            (Place::Table, ..) => table::look(self.dynamodb.database(), &self.table),
            (Place::Reader, Some(functions), ..) => reader(&functions.reader.url()).await,
            (Place::EnvFile, _, Some(file), _) => env_file::look(file),
            (Place::Prefork, .., Some(url)) => {
                let keys: Vec<_> = self.flags().into_keys().collect();
                tokio::time::timeout(LIMIT, prefork::look(url, &keys))
                    .await
                    .unwrap_or_else(|_| Err("no answer".to_owned()))
            }
            _ => Err("does not run".to_owned()),
        }
    }
}

impl Functions {
    /// Invokes `store` as its schedule does: status and answer, as over HTTP.
    pub(super) async fn sync(&self) -> (u16, Value) {
        let event = json!({
            "version": "0", "id": "board", "detail-type": "Scheduled Event", "source": "aws.events",
            "account": "123456789012", "time": chrono::Utc::now().to_rfc3339(), "region": "us-east-1",
            "resources": [], "detail": {},
        });
        let answer = self.store.pool().invoke(event.to_string()).await.and_then(|invoked| invoked.json());
        match answer {
            Ok(summary) => (200, summary),
            Err(error) => (502, json!({"error": {"code": "not synced", "message": message(&error)}})),
        }
    }
}

fn message(error: &InvokeError) -> String {
    match error {
        InvokeError::Function(error) => error.message.clone(),
        other => other.to_string(),
    }
}

async fn reader(url: &str) -> Seen {
    let request = crate::http_client().get(format!("{url}/flags?key={USER}&kind=user")).timeout(LIMIT);
    let response = request.send().await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = response.bytes().await.map_err(|error| error.to_string())?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(flags) = answer["flags"].as_object().filter(|_| status.is_success()) else {
        let message = answer["error"]["message"].as_str().unwrap_or("no flags in its answer");
        return Err(format!("{}: {message}", status.as_u16()));
    };
    let held = flags.iter().map(|(key, flag)| {
        let reason = flag["reason"]["kind"].as_str().unwrap_or_default().to_lowercase().replace('_', " ");
        (key.clone(), Held { text: flag["value"].to_string(), note: reason, version: flag["version"].as_u64() })
    });
    let detail = format!("for the user “{USER}”");
    Ok(Sight { fact: format!("{} answers", flags.len()), detail, flags: held.collect() })
}
