//! The state as the page says it: columns, rows and cells, every text ready. Pure.
//!
//! The same is served as JSON, for people with curl and for tests.

use super::faults::Fault;
use super::lane::{Lane, Step};
use super::places::{Place, Sight};
use super::state::{State, span};
use serde::Serialize;

/// The most flags on one page; more are found by the filter.
const MOST_ROWS: usize = 100;

/// What does not change while the board runs.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Frame {
    pub(super) project: String,
    pub(super) environment: String,
    /// Whether `store` runs, to be asked for a sync.
    pub(super) can_sync: bool,
}

/// The whole page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    frame: Frame,
    news: String,
    faults: Vec<FaultSwitch>,
    is_syncing: bool,
    behind: usize,
    columns: Vec<Column>,
    rows: Vec<Row>,
    /// How many flags are not among the rows.
    left_out: usize,
    filter: String,
}

#[derive(Debug, Serialize)]
struct FaultSwitch {
    id: &'static str,
    name: &'static str,
    description: &'static str,
    on: bool,
}

/// How a column or cell is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Tone {
    Idle,
    Waiting,
    Reached,
    Behind,
    Failed,
}

#[derive(Debug, Serialize)]
struct Column {
    id: &'static str,
    title: &'static str,
    fact: String,
    detail: String,
    tone: Tone,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    key: String,
    /// Nothing where LaunchDarkly has no such flag any more.
    on: Option<bool>,
    version: Option<u64>,
    is_latest: bool,
    /// Whether it was changed since the board began.
    has_moved: bool,
    cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct Cell {
    column: &'static str,
    title: &'static str,
    text: String,
    note: String,
    /// After how long the change was here.
    after: Option<String>,
    tone: Tone,
}

impl View {
    /// The state for somebody who looks for flags whose keys have `filter` in them.
    pub(super) fn new(frame: &Frame, state: &State, filter: &str) -> Self {
        let wanted = filter.trim().to_lowercase();
        let keys: Vec<_> = state.keys().into_iter().filter(|key| key.to_lowercase().contains(&wanted)).collect();
        let is_on = |fault: Fault| state.faults.contains(&fault);
        let switch = |fault: Fault| FaultSwitch {
            id: fault.id(),
            name: fault.name(),
            description: fault.description(),
            on: is_on(fault),
        };
        Self {
            frame: frame.clone(),
            news: state.news.clone(),
            faults: Fault::ALL.map(switch).into(),
            is_syncing: state.is_syncing,
            behind: state.behind().len(),
            columns: columns(frame, state),
            left_out: keys.len().saturating_sub(MOST_ROWS),
            rows: keys.into_iter().take(MOST_ROWS).map(|key| row(state, key)).collect(),
            filter: filter.to_owned(),
        }
    }
}

fn columns(frame: &Frame, state: &State) -> Vec<Column> {
    let mut columns = vec![launchdarkly(frame, state), webhook(state), store(frame, state)];
    columns.extend(state.seen.iter().map(|(place, seen)| {
        let (fact, detail, tone) = match seen {
            Ok(Sight { fact, detail, .. }) => (fact.clone(), detail.clone(), Tone::Idle),
            Err(reason) => ("no answer".to_owned(), reason.clone(), Tone::Failed),
        };
        Column { id: id(*place), title: title(*place), fact, detail, tone }
    }));
    columns
}

fn launchdarkly(frame: &Frame, state: &State) -> Column {
    let (detail, tone) = if state.faults.contains(&Fault::LaunchDarklyDown) {
        ("down".to_owned(), Tone::Failed)
    } else if state.faults.contains(&Fault::StaleAnswers) {
        ("answers are stale".to_owned(), Tone::Failed)
    } else {
        (format!("{} / {}", frame.project, frame.environment), Tone::Idle)
    };
    Column { id: "launchdarkly", title: "LaunchDarkly", fact: format!("{} flags", state.flags.len()), detail, tone }
}

fn webhook(state: &State) -> Column {
    let (detail, tone) = if state.faults.contains(&Fault::LostWebhooks) {
        ("all are lost", Tone::Failed)
    } else if state.faults.contains(&Fault::ForgedWebhooks) {
        ("wrong signature", Tone::Failed)
    } else {
        ("all are signed", Tone::Idle)
    };
    Column { id: "webhook", title: "webhook", fact: format!("{} sent", state.sent), detail: detail.to_owned(), tone }
}

fn store(frame: &Frame, state: &State) -> Column {
    let (fact, detail, tone) = match &state.run {
        _ if state.is_syncing => ("at work".to_owned(), "by schedule".to_owned(), Tone::Waiting),
        Some(run) => {
            let tone = if run.step.is_good { Tone::Idle } else { Tone::Failed };
            (run.step.text.clone(), format!("by {}, {}", run.trigger, span(run.step.after)), tone)
        }
        None if frame.can_sync => ("ready".to_owned(), String::new(), Tone::Idle),
        None => ("does not run".to_owned(), String::new(), Tone::Failed),
    };
    Column { id: "store", title: "store", fact, detail, tone }
}

fn row(state: &State, key: &str) -> Row {
    let (flag, lane) = (state.flags.get(key), state.lanes.get(key));
    let mut cells = vec![
        step("webhook", lane, lane.and_then(|lane| lane.webhook.as_ref()), ("sent", "")),
        step("store", lane, lane.and_then(|lane| lane.store.as_ref()), ("at work", "not asked")),
    ];
    cells.extend(state.seen.keys().map(|place| held(state, *place, key, lane)));
    Row {
        key: key.to_owned(),
        on: flag.map(|flag| flag.on),
        version: flag.map(|flag| flag.version),
        has_moved: lane.is_some(),
        is_latest: state.latest.as_deref() == Some(key),
        cells,
    }
}

/// A step of a change; `waiting` and `missing` say what to tell before and instead of it.
fn step(column: &'static str, lane: Option<&Lane>, step: Option<&Step>, (waiting, missing): (&str, &str)) -> Cell {
    let cell = |text: &str, note: &str, after, tone| Cell {
        column,
        title: column,
        text: text.to_owned(),
        note: note.to_owned(),
        after,
        tone,
    };
    match (lane, step) {
        (_, Some(step)) => {
            let tone = if step.is_good { Tone::Reached } else { Tone::Failed };
            cell(&step.text, &step.note, Some(span(step.after)), tone)
        }
        (Some(lane), None) if !lane.is_delivered() => cell(waiting, "", None, Tone::Waiting),
        (Some(_), None) => cell(missing, "", None, Tone::Idle),
        (None, None) => cell("", "", None, Tone::Idle),
    }
}

fn held(state: &State, place: Place, key: &str, lane: Option<&Lane>) -> Cell {
    let held = state.seen.get(&place).and_then(|seen| seen.as_ref().ok()).and_then(|sight| sight.flags.get(key));
    let after = lane.and_then(|lane| lane.arrived.get(&place));
    let is_behind = state.is_behind(place, key);
    let tone = match lane {
        Some(lane) if is_behind && !lane.is_delivered() => Tone::Waiting,
        _ if is_behind => Tone::Behind,
        _ if after.is_some() => Tone::Reached,
        _ => Tone::Idle,
    };
    let (text, note) = held.map_or_else(Default::default, |held| (held.text.clone(), held.note.clone()));
    let note = match held.and_then(|held| held.version) {
        Some(version) if is_behind => format!("still v{version}"),
        None if is_behind => "missing".to_owned(),
        _ => note,
    };
    let after = after.filter(|_| !is_behind).map(|after| span(*after));
    Cell { column: id(place), title: title(place), text, note, after, tone }
}

const fn id(place: Place) -> &'static str {
    match place {
        Place::Table => "table",
        Place::Reader => "reader",
        Place::EnvFile => "env-file",
        Place::Prefork => "prefork",
    }
}

const fn title(place: Place) -> &'static str {
    match place {
        Place::Table => "table",
        Place::Reader => "reader",
        Place::EnvFile => ".env file",
        Place::Prefork => "prefork",
    }
}
