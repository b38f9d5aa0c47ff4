//! What the managed flags come to: evaluated when something changes that they depend on, and remembered.
//!
//! A flag that cannot be evaluated keeps its last value, and says nothing about its line where it never had one. It
//! neither reads nor writes the file.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use flagcache_payload::{ItemId, Items, Kind};
use flagcache_sdk::observable::Change;
use flagcache_sdk::{Context, Evaluator};

use crate::edit::{Assignment, Text};
use crate::names::{NameError, Names};
use crate::relevance::Relevance;
use crate::settings::{Selection, Settings};
use crate::value::{Outcome, Types};

/// The managed flags and their values.
pub struct Values {
    evaluator: Arc<Evaluator>,
    context: Context,
    types: Types,
    names: Names,
    is_all: bool,
    /// In the order in which their lines are added.
    managed: Vec<Managed>,
    relevance: Relevance,
    changed: HashSet<ItemId>,
    refused: Vec<NameError>,
}

/// A flag, its variable, and what it came to last.
#[derive(Debug)]
struct Managed {
    flag: String,
    name: String,
    value: Option<Text>,
    problem: Option<&'static str>,
}

impl Values {
    /// No flag is evaluated yet.
    pub fn new(settings: &Settings, evaluator: Arc<Evaluator>) -> Self {
        let named = match &settings.selection {
            Selection::Named(named) => named.clone(),
            Selection::All => Vec::new(),
        };
        let managed = |(flag, name)| Managed { flag, name, value: None, problem: None };
        Self {
            evaluator,
            context: settings.context.clone(),
            types: settings.types,
            names: settings.names.clone(),
            is_all: settings.selection == Selection::All,
            managed: named.into_iter().map(managed).collect(),
            relevance: Relevance::default(),
            changed: HashSet::new(),
            refused: Vec::new(),
        }
    }

    /// Takes note of changes; whether any of them can alter a managed flag.
    pub fn note(&mut self, changes: Vec<Change>) -> bool {
        let items = changes.into_iter().map(|change| ItemId::new(change.kind, change.key));
        let relevant: Vec<_> = items.filter(|item| self.concerns(item)).collect();
        let is_relevant = !relevant.is_empty();
        self.changed.extend(relevant);
        is_relevant
    }

    fn concerns(&self, item: &ItemId) -> bool {
        self.relevance.concerns(item) || (self.is_all && item.kind == Kind::Flag)
    }

    /// Evaluates everything; the flags that were evaluated.
    pub fn evaluate_all(&mut self, items: &Arc<dyn Items>) -> Vec<String> {
        self.evaluator.set_items(Arc::clone(items));
        self.discover(&**items);
        self.changed.clear();
        let flags = 0..self.managed.len();
        flags.map(|index| self.evaluate(index)).collect()
    }

    /// Evaluates what depends on the changes noted; the flags that were evaluated.
    pub fn evaluate_changed(&mut self, items: &Arc<dyn Items>) -> Vec<String> {
        self.evaluator.set_items(Arc::clone(items));
        let changed = std::mem::take(&mut self.changed);
        self.relevance.forget(&changed);
        if self.is_all && changed.iter().any(|item| item.kind == Kind::Flag) {
            self.discover(&**items);
        }
        let mut evaluated = Vec::new();
        for index in 0..self.managed.len() {
            if self.relevance.depends_on(&self.managed[index].flag, &changed, &**items) {
                evaluated.push(self.evaluate(index));
            }
        }
        evaluated
    }

    /// Finds out what the flags depend on, from which time on changes can be judged. Costs a look into each flag, so it
    /// waits until the first values are written.
    pub fn learn(&mut self, items: &dyn Items) {
        for managed in &self.managed {
            self.relevance.depends_on(&managed.flag, &HashSet::new(), items);
        }
    }

    /// With `--all`: flags that have come are taken in; those that have gone stay, and become empty.
    fn discover(&mut self, items: &dyn Items) {
        if !self.is_all {
            return;
        }
        let keys = items.keys(Kind::Flag);
        let known = self.managed.iter().map(|managed| managed.flag.as_str());
        let (assigned, refused) = self.names.assign(known.chain(keys.iter().map(AsRef::as_ref)));
        for error in refused.iter().filter(|error| !self.refused.contains(error)) {
            tracing::warn!("{error}");
        }
        let new = assigned.into_iter().skip(self.managed.len());
        let new: Vec<_> = new.map(|(flag, name)| Managed { flag, name, value: None, problem: None }).collect();
        self.managed.extend(new);
        self.refused = refused;
    }

    /// Evaluates one flag; problems are told when they come, not for as long as they last.
    fn evaluate(&mut self, index: usize) -> String {
        let managed = &mut self.managed[index];
        let evaluation = self.evaluator.flag(&managed.flag, &self.context);
        let (flag, name) = (&managed.flag, &managed.name);
        let problem = match Outcome::of(&evaluation, self.types) {
            Outcome::Value(value) => {
                managed.value = Some(value);
                None
            }
            Outcome::Empty(problem) => {
                if managed.problem != Some(problem) {
                    tracing::warn!(flag, name, "{name} becomes empty: {problem}");
                }
                managed.value = Some(Text::Plain(String::new()));
                Some(problem)
            }
            Outcome::Unknown(problem) => {
                if managed.problem != Some(problem) {
                    tracing::warn!(flag, name, "{name} stays as it is: {problem}");
                }
                Some(problem)
            }
        };
        managed.problem = problem;
        managed.flag.clone()
    }

    /// What the file should say.
    pub fn assignments(&self) -> Vec<Assignment> {
        let known = self.managed.iter().filter_map(|managed| Some((&managed.name, managed.value.as_ref()?)));
        known.map(|(name, value)| Assignment { name: name.clone(), value: value.clone() }).collect()
    }

    /// The values as programs get them in their environment.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let known = self.managed.iter().filter_map(|managed| Some((&managed.name, managed.value.as_ref()?)));
        known.map(|(name, value)| (name.clone(), value.as_str().to_owned())).collect()
    }

    /// What programs get while LaunchDarkly has not answered, of the values that the file has, and the names that it has
    /// no value of. With `--all` nobody knows yet which of its lines are flags, so all of them count.
    pub fn last_known(&self, mut file: BTreeMap<String, String>) -> (BTreeMap<String, String>, Vec<String>) {
        if self.is_all {
            return (file, Vec::new());
        }
        let names: HashSet<&str> = self.managed.iter().map(|managed| managed.name.as_str()).collect();
        file.retain(|name, _| names.contains(name.as_str()));
        let missing = self.managed.iter().map(|managed| &managed.name).filter(|name| !file.contains_key(*name));
        let missing = missing.cloned().collect();
        (file, missing)
    }

    /// How many flags are managed, how many of them have a problem, and how many could not be given a variable.
    pub fn counts(&self) -> (usize, usize, usize) {
        let problems = self.managed.iter().filter(|managed| managed.problem.is_some()).count();
        (self.managed.len(), problems, self.refused.len())
    }
}
