//! `local up`: keeps the stack running to play with, and says what webhooks did.

use super::binaries::{self, Binaries};
use super::companions::{Companions, Setting};
use super::screen::{self, Screen};
use super::stack::{self, Keys, MOST_PROCESSES};
use anyhow::{Context, anyhow};
use clap::Args;
use local::board::{self, Board, Places};
use local::dynamodb::EmbeddedDynamoDb;
use local::lambda::{Function, HttpFront};
use local::standin::{Delivery, Outcome, Standin, StandinOptions};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

#[derive(Debug, Args)]
pub(super) struct UpOptions {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port of DynamoDB.
    #[arg(long, default_value_t = 8000)]
    dynamodb_port: u16,
    /// Port of the LaunchDarkly stand-in.
    #[arg(long, default_value_t = 8030)]
    launchdarkly_port: u16,
    /// Port of the store function, where webhooks go.
    #[arg(long, default_value_t = 8031)]
    store_port: u16,
    /// Port of the reader function.
    #[arg(long, default_value_t = 8032)]
    reader_port: u16,
    /// Port of the flag board. 8080 otherwise, or a free one where that is taken.
    #[arg(long)]
    board_port: Option<u16>,
    /// Also run `env-sync` and `prefork-server`, those of them that are built, and show them on the board.
    #[arg(long)]
    companions: bool,
    /// Show this `.env` on the board, which an `env-sync` keeps; with `--companions` it keeps this one.
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Show the workers of the `prefork-server` at this URL on the board.
    #[arg(long, value_name = "URL", conflicts_with = "companions")]
    prefork: Option<String>,
    /// Serve the flags of this file, `{"flags":{…},"segments":{…}}`, instead of the demonstration's.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Keep DynamoDB's tables in this file instead of in memory.
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// Name of the table.
    #[arg(long, default_value = "flags")]
    table: String,
    /// SDK key that the stand-in accepts.
    #[arg(long, default_value = "sdk-local")]
    sdk_key: String,
    /// API access token that the stand-in accepts.
    #[arg(long, default_value = "api-local")]
    api_token: String,
    /// Secret that webhooks are signed with.
    #[arg(long, default_value = "secret-local")]
    webhook_secret: String,
    /// Send webhooks here instead of to the store function.
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// Key of the project.
    #[arg(long, default_value = "default")]
    project: String,
    /// Key of the environment.
    #[arg(long, default_value = "staging")]
    environment: String,
    /// Folder of the built functions `store` and `reader`; beside this program otherwise.
    #[arg(long, value_name = "DIR")]
    functions: Option<PathBuf>,
    /// Do not run the functions.
    #[arg(long, conflicts_with = "functions")]
    no_functions: bool,
    /// Also write what the functions log.
    #[arg(long)]
    logs: bool,
}

/// The two functions behind their ports.
type Functions = board::Functions;

/// Where the board is unless that port is taken.
const BOARD_PORT: u16 = 8080;

pub(super) async fn run(options: &UpOptions, screen: Screen) -> anyhow::Result<()> {
    let dynamodb = Arc::new(dynamodb(options).await?);
    let standin = Arc::new(standin(options).await?);
    let functions = functions(options, &standin, &dynamodb, screen).await?;
    let filled = match &functions {
        Ok(functions) => fill(functions).await.map_err(|error| format!("table not filled: {error:#}")),
        Err(reason) => Err(reason.clone()),
    };
    let companions = companions(options, &standin, screen).await?;
    let board = board(options, &standin, &dynamodb, functions.as_ref().ok(), &companions).await?;
    banner(options, &standin, &dynamodb, &functions, &filled, &board, screen);
    let ended = tokio::select! {
        ended = super::asked_to_end() => ended.context("wait for signals"),
        () = tell_of_webhooks(&standin, screen) => Ok(()),
    };
    companions.end().await;
    ended
}

async fn companions(options: &UpOptions, standin: &Standin, screen: Screen) -> anyhow::Result<Companions> {
    if !options.companions {
        return Ok(Companions::none());
    }
    let setting = Setting {
        folder: &binaries::folder(options.functions.as_deref())?,
        sdk_key: &options.sdk_key,
        env_file: options.env_file.as_deref(),
        logs: options.logs,
        screen,
    };
    Companions::start(&setting, standin).await
}

async fn dynamodb(options: &UpOptions) -> anyhow::Result<EmbeddedDynamoDb> {
    let listener = listen(options, options.dynamodb_port, "DynamoDB", "--dynamodb-port").await?;
    let dynamodb = EmbeddedDynamoDb::start_on(listener, options.database.as_deref())?;
    dynamodb.create_flag_table(&options.table)?;
    Ok(dynamodb)
}

async fn standin(options: &UpOptions) -> anyhow::Result<Standin> {
    let mut described = StandinOptions::default()
        .sdk_key(&options.sdk_key)
        .api_token(&options.api_token)
        .webhook_secret(&options.webhook_secret)
        .project(&options.project)
        .environment(&options.environment);
    if let Some(file) = &options.data {
        let text = std::fs::read_to_string(file).with_context(|| format!("read the data {}", file.display()))?;
        described = described.data(text).with_context(|| format!("load the data {}", file.display()))?;
    }
    if let Some(url) = &options.webhook_url {
        described = described.webhook_url(url);
    }
    let listener = listen(options, options.launchdarkly_port, "LaunchDarkly", "--launchdarkly-port").await?;
    Ok(Standin::start_on(listener, described)?)
}

/// The functions, or why there are none, which is no fault unless a folder was named.
async fn functions(
    options: &UpOptions,
    standin: &Standin,
    dynamodb: &EmbeddedDynamoDb,
    screen: Screen,
) -> anyhow::Result<Result<Functions, String>> {
    if options.no_functions {
        return Ok(Err("not wanted".to_owned()));
    }
    let binaries = match Binaries::find(options.functions.as_deref()) {
        Ok(binaries) => binaries,
        Err(error) if options.functions.is_some() => return Err(error),
        Err(_) => return Ok(Err("not built: `make build` or `cargo build --release`, then again".to_owned())),
    };
    let keys = Keys {
        table: options.table.clone(),
        sdk_key: options.sdk_key.clone(),
        webhook_secret: options.webhook_secret.clone(),
    };
    let front = async |function: Function, port: u16, flag: &str| -> anyhow::Result<HttpFront> {
        let listener = listen(options, port, function.name(), flag).await?;
        let function = if options.logs { with_logs(function, screen) } else { function };
        Ok(HttpFront::start_on(listener, function.pool(MOST_PROCESSES))?)
    };
    let store = stack::store(&binaries, standin, dynamodb, &keys);
    let store = front(store, options.store_port, "--store-port").await?;
    let reader = front(stack::reader(&binaries, dynamodb, &keys), options.reader_port, "--reader-port").await?;
    if options.webhook_url.is_none() {
        standin.set_webhook_url(format!("{}/", store.url()));
    }
    Ok(Ok(Functions { store: store.into(), reader: reader.into() }))
}

async fn board(
    options: &UpOptions,
    standin: &Arc<Standin>,
    dynamodb: &Arc<EmbeddedDynamoDb>,
    functions: Option<&Functions>,
    companions: &Companions,
) -> anyhow::Result<Board> {
    let places = Places {
        standin: standin.clone(),
        dynamodb: dynamodb.clone(),
        table: options.table.clone(),
        functions: functions.cloned(),
        env_file: companions.env_file.clone().or_else(|| options.env_file.clone()),
        prefork: companions.prefork.clone().or_else(|| options.prefork.clone()),
    };
    let listener = match options.board_port {
        Some(port) => listen(options, port, "the board", "--board-port").await?,
        None => match TcpListener::bind((options.host, BOARD_PORT)).await {
            Ok(listener) => listener,
            Err(_) => listen(options, 0, "the board", "--board-port").await?,
        },
    };
    Ok(Board::start_on(listener, places)?)
}

fn with_logs(function: Function, screen: Screen) -> Function {
    let name = function.name().to_owned();
    function.on_line(move |line| screen::line(&format!("{} {line}", screen.dim(&format!("{name:<6} |")))))
}

/// Fills the table by a first invocation of store; what came of it.
async fn fill(functions: &Functions) -> anyhow::Result<String> {
    let summary = functions.store.pool().invoke("{}").await?.json()?;
    let total = |kind: &str| summary[kind]["total"].clone();
    Ok(format!("table filled: {} flags, {} segments", total("flags"), total("segments")))
}

async fn listen(options: &UpOptions, port: u16, what: &str, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind((options.host, port)).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            anyhow!("serve {what} on {}:{port}: the port is taken; choose another with {flag}", options.host)
        }
        _ => anyhow!(error).context(format!("serve {what} on {}:{port}", options.host)),
    })
}

fn banner(
    options: &UpOptions,
    standin: &Standin,
    dynamodb: &EmbeddedDynamoDb,
    functions: &Result<Functions, String>,
    filled: &Result<String, String>,
    board: &Board,
    screen: Screen,
) {
    let UpOptions { table, project, environment, sdk_key, api_token, webhook_secret, .. } = options;
    let (database, launchdarkly) = (dynamodb.endpoint(), standin.url());
    let row = |name: &str, url: &str, note: &str| {
        screen::line(&format!("{}  {url:<23}  {}", screen.bold(&format!("{name:<12}")), screen.dim(note)));
    };
    let place = options.database.as_ref().map_or("in memory".to_owned(), |file| file.display().to_string());
    row("DynamoDB", &database, &format!("table {table}, {place}"));
    row("LaunchDarkly", &launchdarkly, &format!("project {project}, environment {environment}"));
    match functions {
        Ok(functions) => {
            let (Ok(note) | Err(note)) = filled;
            row("store", &functions.store.url(), note);
            row("reader", &functions.reader.url(), "answers from the table");
        }
        Err(reason) => row("store, reader", "-", reason),
    }
    row("flag board", &board.url(), "open it in a browser: switches, faults, what arrives when");
    screen::line(&format!(
        "
export AWS_ENDPOINT_URL_DYNAMODB={database} AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
export LAUNCHDARKLY_BASE_URI={launchdarkly} LAUNCHDARKLY_STREAM_URI={launchdarkly}
export LAUNCHDARKLY_EVENTS_URI={launchdarkly} LAUNCHDARKLY_API_URI={launchdarkly}
export LAUNCHDARKLY_SDK_KEY={sdk_key} LD_SDK_KEY={sdk_key} LD_API_KEY={api_token}
export LAUNCHDARKLY_DYNAMODB_TABLE={table} LAUNCHDARKLY_WEBHOOK_SECRET={webhook_secret}
"
    ));
    screen::line("Try:");
    if let Ok(functions) = functions {
        screen::line(&format!("  curl {}/flags/sample-flag", functions.reader.url()));
    }
    screen::line(&format!(
        "  curl -X PATCH {launchdarkly}/api/v2/flags/{project}/sample-flag -H 'Authorization: {api_token}' \\
       -d '[{{\"op\":\"replace\",\"path\":\"/environments/{environment}/on\",\"value\":true}}]'
  curl {launchdarkly}/standin                      what was asked, what is in force
  curl {launchdarkly}/standin/misbehave -d '{{\"fault\":{{\"kind\":\"status\",\"status\":503}},\"times\":3}}'

Ctrl-C ends everything."
    ));
}

/// A line for every delivery, as they end; never comes back.
async fn tell_of_webhooks(standin: &Standin, screen: Screen) {
    let mut told = 0;
    loop {
        // Nobody may change anything for long.
        let Ok(deliveries) = standin.wait_for_deliveries(told + 1).await else { continue };
        for delivery in &deliveries[told..] {
            screen::line(&describe(delivery, screen));
        }
        told = deliveries.len();
    }
}

fn describe(delivery: &Delivery, screen: Screen) -> String {
    let answer = delivery.json();
    let outcome = match &delivery.outcome {
        Outcome::Answered { status: 200, .. } => {
            let written =
                answer["flags"]["written"].as_u64().unwrap_or(0) + answer["segments"]["written"].as_u64().unwrap_or(0);
            let outcome = answer["outcome"].as_str().unwrap_or("answered");
            screen.good(&format!("200 {outcome}, {written} written"))
        }
        Outcome::Answered { status, .. } => {
            screen.bad(&format!("{status} {}", answer["error"]["message"].as_str().unwrap_or_default()))
        }
        Outcome::Failed { reason } => screen.bad(&format!("not delivered: {reason}")),
        Outcome::Withheld => screen.dim("not sent: webhooks are off, or there is no store to send them to"),
    };
    format!("{} webhook  {outcome}", super::screen::milliseconds(delivery.duration))
}
